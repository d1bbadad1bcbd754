"""Frozen metric depth networks, loaded through transformers: ZoeDepth, Depth Anything metric, Depth Pro, GLPN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tr2m_plugin.device import precision
from tr2m_plugin.models.frozen.encoders import Frozen, load_pretrained
from tr2m_plugin.models.frozen.preprocessing import DepthInput
from tr2m_plugin.structures import Space

METRIC = ("depth_pro", "glpn", "zoedepth")
"""Types of networks of transformers that give depth in metres; Depth Anything's config says which it gives."""

RELATIVE = ("dpt",)
"""Types whose published weights give disparity of unknown scale and shift (MiDaS, DPT)."""

MARGIN = 3
"""ZoeDepth pads a side of n pixels by MARGIN · sqrt(n / 2) at either end (isl-org/ZoeDepth, depth_model.py)."""


def output_of(config: Any) -> tuple[Space, bool] | None:
    """What a network of transformers gives: disparity or depth, and whether it is metric; None when unknown.

    Args:
        config: transformers' config of the network.
    """
    if config.model_type in METRIC:
        return "depth", True
    if config.model_type == "depth_anything":
        metric = getattr(config, "depth_estimation_type", "relative") == "metric"
        return ("depth", True) if metric else ("disparity", False)
    return ("disparity", False) if config.model_type in RELATIVE else None


class DepthNetwork(Frozen):
    """A depth network of transformers with its own preprocessing, and the last step from its output to metres.

    Needs no torchvision: what transformers does with it for ZoeDepth's margin and for Depth Pro is done here.

    Args:
        pretrained: a model for `AutoModelForDepthEstimation`, such as Intel/zoedepth-nyu-kitti,
            depth-anything/Depth-Anything-V2-Metric-Indoor-Small-hf, apple/DepthPro-hf or vinvino02/glpn-nyu.
        revision: revision of the hub repository. Default: its main branch.
        dtype: precision of the weights. Default: float32.
        device: where to load it. Default: cpu.

    Raises:
        InputError: the weights are not there.
    """

    def __init__(
        self, pretrained: str, revision: str | None = None, dtype: str = "float32", device: str = "cpu"
    ) -> None:
        network = load_pretrained("AutoModelForDepthEstimation", pretrained, dtype=precision(dtype), revision=revision)
        super().__init__(network.to(device))
        self.kind: str = network.config.model_type
        self.preprocess = DepthInput(pretrained, self.kind, revision)

    @torch.no_grad()
    def forward(self, pixels: Tensor) -> list[Tensor]:
        """What the network says, (h, w) float32 each, with the margin that the input has; metric depth in metres.

        Args:
            pixels: preprocessed pictures, (B, 3, H, W).
        """
        out = self.network(pixels.to(self.network.device, self.network.dtype))
        return _depth_pro_metres(out) if self.kind == "depth_pro" else list(out.predicted_depth.float())

    def predict(self, images: Sequence[np.ndarray]) -> list[Tensor]:
        """The same of pictures of any size, at the network's own size, without margins.

        Args:
            images: (H, W, 3) uint8 RGB each.
        """
        maps = [depth for pixels in self.preprocess(images) for depth in self(pixels)]
        if self.preprocess.pads:
            return [_without_margin(depth, i.shape[:2]) for depth, i in zip(maps, images, strict=True)]
        return maps


def _depth_pro_metres(out: Any) -> list[Tensor]:
    """Metres from Depth Pro's canonical inverse depth and field of view (Bochkovskii et al. 2024, eq. 2)."""
    inverse = out.predicted_depth.float()
    if out.field_of_view is not None:
        # Width over focal length, whatever the width.
        inverse = inverse * 2 * torch.tan(torch.deg2rad(out.field_of_view.float()) / 2).reshape(-1, 1, 1)
    return list(1 / inverse.clamp(1e-4, 1e4))


def _without_margin(depth: Tensor, size: Sequence[int]) -> Tensor:
    pads = [int(np.sqrt(side / 2) * MARGIN) for side in size]
    whole = F.interpolate(
        depth[None, None], (size[0] + 2 * pads[0], size[1] + 2 * pads[1]), mode="bicubic", align_corners=False
    )[0, 0]
    return whole[pads[0] : pads[0] + size[0], pads[1] : pads[1] + size[1]]
