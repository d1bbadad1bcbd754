"""TR2M: metric depth from an image, its relative depth and a sentence (paper, Figure 2)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from mmengine.model import BaseModel
from mmengine.structures import PixelData
from torch import Tensor

from tr2m_plugin.errors import InputError
from tr2m_plugin.models.frozen.encoders import check_patches
from tr2m_plugin.registry import MODELS, scoped
from tr2m_plugin.structures import DepthDataSample, stack_maps

SI, PSEUDO, SMOOTH = ({"type": name} for name in ("SILogLoss", "PseudoDepthLoss", "SmoothnessLoss"))
"""The losses with the paper's weights, which are their defaults."""


class TR2MOutput(NamedTuple):
    """What `TR2M` predicts, (B, 1, H, W) each.

    Attributes:
        depth: metric depth, in the unit of the datasets the model was trained on.
        scale: scale map A.
        shift: shift map B.
    """

    depth: Tensor
    scale: Tensor
    shift: Tensor


def rescale(relative: Tensor, scale: Tensor, shift: Tensor, floor: float = 1e-6) -> Tensor:
    """Metric depth 1 / (A · D_r + B) (paper, eq. 3).

    Args:
        relative: relative depth D_r, disparity-like.
        scale: scale map A.
        shift: shift map B.
        floor: smallest inverse depth, which matters without a shift map. Default: 1e-6.
    """
    return 1 / (scale * relative + shift).clamp(min=floor)


@MODELS.register_module()
class TR2M(BaseModel):
    """Transfers relative depth to metric depth at pixel level.

    Images arrive through the data preprocessor; relative depth and the sentence's embedding, both frozen and
    therefore computed beforehand, arrive in the data samples. The image encoder runs once per image unless the
    samples carry its output too. Scale-oriented contrast is added by `SOCHook`.

    Args:
        rescale_net: config of the rescaling network.
        image_encoder: config of the frozen image encoder; None when every sample carries `image_features`.
        loss_si: config of L_si (eq. 4). Default: SILogLoss.
        loss_pseudo: config of L_tp-si (eq. 6); None leaves it out. Default: PseudoDepthLoss.
        loss_smooth: config of L_es; None leaves it out. Default: SmoothnessLoss.
        patch_size: patch size of the image encoder in pixels. Default: the rescaling network's, which it must be.
        relative_depth: config of the frozen relative depth network, Depth Anything, that computes relative depth of the
            pictures as training changed them, in the step. Default: that of the samples is taken.
        data_preprocessor: config of MMEngine's.
        init_cfg: MMEngine initialisation.
    """

    def __init__(
        self,
        rescale_net: dict,
        image_encoder: dict | None = None,
        loss_si: dict = SI,
        loss_pseudo: dict | None = PSEUDO,
        loss_smooth: dict | None = SMOOTH,
        patch_size: int | None = None,
        relative_depth: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.relative_depth = None if relative_depth is None else MODELS.build(scoped(relative_depth))
        if self.relative_depth is not None:
            self.relative_depth.check_normalisation(*self._normalisation())
        self.image_encoder = None if image_encoder is None else MODELS.build(scoped(image_encoder))
        self.rescale_net = MODELS.build(scoped(rescale_net))
        self.loss_si = MODELS.build(scoped(loss_si))
        self.loss_pseudo = None if loss_pseudo is None else MODELS.build(scoped(loss_pseudo))
        self.loss_smooth = None if loss_smooth is None else MODELS.build(scoped(loss_smooth))
        self.patch_size: int = self.rescale_net.patch_size
        encoders = getattr(self.image_encoder, "patch_size", None)
        for whose, given in (("TR2M", patch_size), ("image_encoder", encoders)):
            if given not in (None, self.patch_size):
                raise InputError(
                    f"{whose} has patches of {given} pixels and rescale_net of {self.patch_size}: set its patch_size"
                )

    def forward(
        self,
        inputs: Tensor,
        data_samples: list[DepthDataSample],
        mode: Literal["tensor", "loss", "predict"] = "tensor",
    ) -> TR2MOutput | dict[str, Tensor] | list[DepthDataSample]:
        """Runs the model.

        Args:
            inputs: normalised images, (B, 3, H, W), H and W multiples of the patch size.
            data_samples: one per image, with `relative_depth_map` and `text_features`.
            mode: `tensor` returns a `TR2MOutput`; `loss` a dict of losses, for samples with `gt_depth_map`;
                `predict` the samples with `pred_depth_map`, `scale_map` and `shift_map`, and with `image_features`, so
                that the picture need not be encoded again for another sentence.

        Raises:
            InputError: H or W is no multiple of the patch size, or relative depth is of another size.
            KeyError: a sample lacks a map.
        """
        patch_hw = check_patches(inputs, self.patch_size)
        if mode == "loss" and self.relative_depth is not None:
            relative = self.relative_depth(inputs)
        else:
            relative = stack_maps(data_samples, "relative_depth_map")
        if relative.shape[-2:] != inputs.shape[-2:]:
            sizes = [" × ".join(str(side) for side in shape[-2:]) for shape in (relative.shape, inputs.shape)]
            raise InputError(f"relative depth of {sizes[0]} does not match images of {sizes[1]}: resize one of them")
        text = torch.stack([sample.text_features for sample in data_samples])
        features = self._image_features(inputs, data_samples)
        maps = self.rescale_net(features, text, patch_hw)
        output = TR2MOutput(rescale(relative, maps.scale, maps.shift), maps.scale, maps.shift)
        if mode == "tensor":
            return output
        if mode == "loss":
            return self._losses(output, relative, inputs, data_samples)
        if mode == "predict":
            return self._attach(output, features, data_samples)
        raise ValueError(f"mode must be 'tensor', 'loss' or 'predict', not {mode!r}")

    def _image_features(self, inputs: Tensor, data_samples: list[DepthDataSample]) -> Tensor:
        if all("image_features" in sample for sample in data_samples):
            return torch.stack([sample.image_features for sample in data_samples]).float()
        if self.image_encoder is None:
            raise ValueError("samples carry no image_features and the model has no image_encoder")
        return self.image_encoder(inputs)

    def _losses(
        self, output: TR2MOutput, relative: Tensor, inputs: Tensor, data_samples: list[DepthDataSample]
    ) -> dict[str, Tensor]:
        truth = stack_maps(data_samples, "gt_depth_map")
        losses = {"loss_si": self.loss_si(output.depth, truth)}
        if self.loss_pseudo is not None:
            farthest = truth.new_tensor([_farthest(sample) for sample in data_samples])
            losses["loss_pseudo"] = self.loss_pseudo(output.depth, relative, truth, farthest=farthest)
        if self.loss_smooth is not None:
            losses["loss_smooth"] = self.loss_smooth([output.scale, output.shift], self._unit_image(inputs))
        return losses

    def before_normalisation(self, pixels: Tensor) -> Tensor:
        """Pictures (3, H, W) of 0..255 changed so that the data preprocessor makes them 0..1 and no more."""
        mean, std = self._normalisation()
        return pixels if mean is None or std is None else pixels / 255 * std.cpu() + mean.cpu()

    def _unit_image(self, inputs: Tensor) -> Tensor:
        """The images before normalisation, in 0..1, whose edges the smoothness loss respects."""
        mean, std = self._normalisation()
        return inputs if mean is None or std is None else (inputs * std + mean) / 255

    def _normalisation(self) -> tuple[Tensor | None, Tensor | None]:
        """Mean and standard deviation of the data preprocessor, in 0..255."""
        mean, std = (getattr(self.data_preprocessor, name, None) for name in ("mean", "std"))
        return mean, std

    @staticmethod
    def _attach(output: TR2MOutput, features: Tensor, data_samples: list[DepthDataSample]) -> list[DepthDataSample]:
        for sample, depth, scale, shift, tokens in zip(data_samples, *output, features, strict=True):
            sample.image_features = tokens
            sample.pred_depth_map = PixelData(data=depth)
            sample.scale_map = PixelData(data=scale)
            sample.shift_map = PixelData(data=shift)
        return data_samples


def _farthest(sample: DepthDataSample) -> float:
    """The farthest depth of a sample's dataset; without end where it names none."""
    farthest = (sample.get("depth_range") or (None, None))[1]
    return torch.inf if farthest is None else farthest
