"""Frozen relative depth networks, loaded through transformers: Depth Anything, DPT, MiDaS."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tr2m_plugin.checks import are_numbers
from tr2m_plugin.device import precision
from tr2m_plugin.errors import InputError
from tr2m_plugin.models.frozen.encoders import Frozen, load_pretrained, offset_positions
from tr2m_plugin.models.frozen.preprocessing import DepthInput
from tr2m_plugin.registry import MODELS

PRETRAINED = "LiheYoung/depth-anything-small-hf"


@MODELS.register_module()
class RelativeDepth(Frozen):
    """A depth network of transformers with the preprocessing that was saved with it.

    Its output is disparity-like for every network the paper names: LiheYoung/depth-anything-{small,base,large}-hf,
    Intel/dpt-swinv2-large-384 (MiDaS 3.1) and Intel/dpt-hybrid-midas.

    Args:
        pretrained: a model for `AutoModelForDepthEstimation`. Default: LiheYoung/depth-anything-small-hf.
        size: height and width of the output, as TR2M sees the pictures. Depth Anything, which takes any size, sees
            the pictures stretched to it; the others see them at their own size, and the output is resized. None keeps
            what the network gives. Default: None.
        aligned: whether Depth Anything's pictures are brought to that size bilinear with aligned corners, as in the
            authors' release, and not as its own preprocessing does. Default: False.
        position_offset: see `offset_positions`, for Depth Anything; 0.1 in the networks that transformers' were
            converted from, and in the release. Default: 0, as in transformers.
        revision: revision of the hub repository. Default: its main branch.
        dtype: precision of the weights. Default: float32.
        device: where to load it. Default: cpu; it follows `.to()` too.

    Raises:
        InputError: the weights are not there, or the size is none.
    """

    def __init__(
        self,
        pretrained: str = PRETRAINED,
        size: Sequence[int] | None = None,
        aligned: bool = False,
        position_offset: float = 0.0,
        revision: str | None = None,
        dtype: str = "float32",
        device: str = "cpu",
    ) -> None:
        if size is not None and not (are_numbers(size, 2, whole=True) and min(size) > 0):
            raise InputError(f"size must be height and width, not {size!r}")
        network = load_pretrained("AutoModelForDepthEstimation", pretrained, dtype=precision(dtype), revision=revision)
        super().__init__(network.to(device))
        if position_offset and network.config.model_type == "depth_anything":
            offset_positions(network.backbone, position_offset)
        self.preprocess = DepthInput(pretrained, network.config.model_type, revision, aligned)
        self.size = None if size is None else (int(size[0]), int(size[1]))
        self.aligned = aligned

    @torch.no_grad()
    def forward(self, pixels: Tensor, size: Sequence[int] | None = None) -> Tensor:
        """The raw, disparity-like output, (B, 1, h, w) float32.

        Args:
            pixels: preprocessed pictures, (B, 3, H, W).
            size: height and width of the output. Default: the input's.
        """
        pixels = pixels.to(self.network.device, self.network.dtype)
        depth = self.network(pixels).predicted_depth[:, None].float()
        wanted = tuple(size or pixels.shape[-2:])
        if tuple(depth.shape[-2:]) != wanted:
            depth = F.interpolate(depth, wanted, mode="bilinear", align_corners=True)
        return depth

    def check_normalisation(self, mean: Tensor | None, std: Tensor | None) -> None:
        """Whether the network takes pictures as another network's are normalised, at any size.

        Args:
            mean: mean of that normalisation in 0..255, (3, 1, 1); None without one.
            std: its standard deviation.

        Raises:
            InputError: it does not.
        """
        own = self.preprocess.processor
        pairs = ((mean, own.image_mean), (std, own.image_std))
        same = all(v is not None and np.allclose(v.flatten() / 255, wanted, atol=1e-3) for v, wanted in pairs)
        if self.network.config.model_type != "depth_anything" or not same:
            raise InputError(
                "relative depth is computed in the step only by a Depth Anything network and of pictures normalised as "
                f"its own, mean {own.image_mean} and deviation {own.image_std}: let the stage relative_depth compute it"
            )

    def predict(
        self,
        images: Sequence[np.ndarray],
        size: Sequence[int] | None = None,
        aligned: bool | None = None,
        normalize: bool = True,
    ) -> Tensor:
        """The same of pictures of any size, (B, 1, h, w) float32.

        Args:
            images: (H, W, 3) uint8 RGB each.
            size: takes the place of the network's `size` this time.
            aligned: takes the place of the network's `aligned` this time.
            normalize: see `DepthInput`. Default: True.

        Raises:
            InputError: without a `size`, the outputs differ in size.
        """
        size = size or self.size
        maps = [self(pixels, size) for pixels in self.preprocess(images, size, aligned, normalize)]
        sizes = {tuple(depth.shape[-2:]) for depth in maps}
        if len(sizes) > 1:
            raise InputError(f"relative depth maps of the sizes {sorted(sizes)} make no batch: set `size`")
        return torch.cat(maps)
