"""Depth networks of transformers as MMEngine models that train."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from tr2m_plugin.errors import InputError
from tr2m_plugin.models.frozen.encoders import WITHOUT_GRADIENT, load_pretrained
from tr2m_plugin.models.supervised.base import SupervisedDepthModel
from tr2m_plugin.registry import MODELS


@MODELS.register_module()
class HFDepthModel(SupervisedDepthModel):
    """Fine-tunes Depth Anything, DPT, MiDaS, GLPN, ZoeDepth and the like for metric depth.

    Pictures come at any size; the network sees them at one that it accepts, and its output is brought back to theirs.
    `model.network.save_pretrained(folder)` writes what transformers loads again.

    Args:
        pretrained: a model for `AutoModelForDepthEstimation`.
        output: what the network gives: `metric` depth, or `disparity`, whose inverse is trained to be metric depth.
            Default: metric.
        size: height and width at which the network sees the pictures. Default: the pictures' own, rounded to what the
            network divides into, or the network's where it takes only one.
        max_depth: the farthest depth, in the datasets' unit, that a disparity can mean. Default: 1000.
        loss: options of `SILogLoss`. Default: its defaults.
        flip_average: whether `predict` averages a picture and its mirror image. Default: False.
        revision: revision of the hub repository. Default: its main branch.
        data_preprocessor: config of MMEngine's. Default: the mean and deviation saved with the network.
        init_cfg: MMEngine initialisation.

    Raises:
        InputError: the weights are not there, or `output` is another word.
    """

    def __init__(
        self,
        pretrained: str,
        output: Literal["metric", "disparity"] = "metric",
        size: Sequence[int] | None = None,
        max_depth: float = 1000.0,
        loss: dict | None = None,
        flip_average: bool = False,
        revision: str | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        if output not in ("metric", "disparity"):
            raise InputError(f"output must be 'metric' or 'disparity', not {output!r}")
        if data_preprocessor is None:
            data_preprocessor = _preprocessor(load_pretrained("AutoImageProcessor", pretrained, revision=revision))
        super().__init__({"type": "SILogLoss", **(loss or {})}, flip_average, data_preprocessor, init_cfg)
        self.network = load_pretrained(
            "AutoModelForDepthEstimation", pretrained, revision=revision, dtype=torch.float32
        )
        for name, parameter in self.network.named_parameters():
            if any(part in name for part in WITHOUT_GRADIENT):  # DistributedDataParallel would trip over them
                parameter.requires_grad_(False)
        self.output, self.max_depth = output, max_depth
        self.size = (int(size[0]), int(size[1])) if size is not None else _only_size(self.network.config)

    def estimate(self, images: Tensor) -> Tensor:
        """Depth (B, 1, H, W) of normalised images (B, 3, H, W)."""
        size = (images.shape[-2], images.shape[-1])
        seen = self.size or _accepted(size, self.network.config)
        if seen != size:
            images = F.interpolate(images, seen, mode="bilinear", align_corners=False, antialias=True)
        out = self.network(images).predicted_depth[:, None]
        if out.shape[-2:] != size:
            out = F.interpolate(out, size, mode="bilinear", align_corners=False)
        return out if self.output == "metric" else 1 / out.clamp(min=1 / self.max_depth)


def _only_size(config: Any) -> tuple[int, int] | None:
    """The input size of networks that take no other: DPT on a plain or hybrid ViT."""
    if config.model_type == "dpt" and (config.is_hybrid or config.backbone_config is None):
        return config.image_size, config.image_size
    return None


def _accepted(size: tuple[int, int], config: Any) -> tuple[int, int]:
    """The nearest size that divides into patches, or into what four stages of halving leave."""
    step = config.patch_size if config.model_type == "depth_anything" else 32
    height, width = (max(1, round(side / step)) * step for side in size)
    return height, width


def _preprocessor(processor: Any) -> dict[str, Any]:
    """Mean and deviation that were saved with a network, for pixels of 0 to 255."""
    normal = getattr(processor, "do_normalize", False)
    mean, std = (processor.image_mean, processor.image_std) if normal else ((0.0,) * 3, (1.0,) * 3)
    return {
        "type": "mmengine.ImgDataPreprocessor",
        "mean": [255 * value for value in mean],
        "std": [255 * value for value in std],
    }
