"""What depth estimators that need nothing but a picture have in common: losses, samples, flip averaging."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

from mmengine.model import BaseModel
from mmengine.structures import PixelData
from torch import Tensor

from tr2m_plugin.registry import MODELS, scoped
from tr2m_plugin.structures import DepthDataSample, stack_maps


class SupervisedDepthModel(BaseModel):
    """Base of models that predict metric depth from pictures alone and train with the scale-invariant log loss.

    Args:
        loss: config of the loss between depth maps.
        flip_average: whether `predict` averages the depth of the picture and of its mirror image, flipped back.
        data_preprocessor: config of MMEngine's.
        init_cfg: MMEngine initialisation.
    """

    def __init__(
        self,
        loss: dict,
        flip_average: bool = False,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.loss = MODELS.build(scoped(loss))
        self.flip_average = flip_average

    @abstractmethod
    def estimate(self, images: Tensor) -> Tensor:
        """Depth (B, 1, H, W) of normalised images (B, 3, H, W)."""

    def forward(
        self,
        inputs: Tensor,
        data_samples: list[DepthDataSample] | None = None,
        mode: Literal["tensor", "loss", "predict"] = "tensor",
    ) -> Tensor | dict[str, Tensor] | list[DepthDataSample]:
        """Runs the model.

        Args:
            inputs: normalised images, (B, 3, H, W).
            data_samples: one per image; with `gt_depth_map` for `loss`.
            mode: `tensor` returns depth (B, 1, H, W); `loss` a dict of losses; `predict` the samples with
                `pred_depth_map`.

        Raises:
            KeyError: a sample lacks true depth.
        """
        if mode == "tensor":
            return self.estimate(inputs)
        if mode == "loss":
            return {"loss_si": self.loss(self.estimate(inputs), stack_maps(data_samples or [], "gt_depth_map"))}
        if mode == "predict":
            return self._predict(inputs, data_samples or [])
        raise ValueError(f"mode must be 'tensor', 'loss' or 'predict', not {mode!r}")

    def _predict(self, inputs: Tensor, data_samples: list[DepthDataSample]) -> list[DepthDataSample]:
        depth = self.estimate(inputs)
        if self.flip_average:
            depth = (depth + self.estimate(inputs.flip(-1)).flip(-1)) / 2
        for sample, one in zip(data_samples, depth, strict=True):
            sample.pred_depth_map = PixelData(data=one)
        return data_samples
