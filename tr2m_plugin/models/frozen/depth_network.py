"""Frozen metric depth networks, loaded through transformers: ZoeDepth, Depth Anything metric, Depth Pro, GLPN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tr2m_plugin.device import precision
from tr2m_plugin.errors import InputError, require
from tr2m_plugin.models.frozen.encoders import Frozen, load_pretrained
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
        revision: of the hub repository. Default: its main branch.
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
        if self.kind == "depth_pro":
            self.processor: Any = _DepthProInput(pretrained, revision)
        else:
            self.processor = load_pretrained("AutoImageProcessor", pretrained, revision=revision)

    @torch.no_grad()
    def forward(self, images: Sequence[np.ndarray]) -> list[Tensor]:
        """What the network says of pictures of any size, (h, w) float32 each, at its own size; metric depth in metres.

        Args:
            images: (H, W, 3) uint8 RGB each.
        """
        options = {"return_tensors": "pt", "input_data_format": "channels_last"}  # a guess fails at height 3
        pixels = [self.processor(images=[image], **options)["pixel_values"] for image in images]
        alike = len({p.shape for p in pixels}) == 1
        batches = [torch.cat(pixels)] if alike else pixels
        outputs = [self.network(p.to(self.network.device, self.network.dtype)) for p in batches]
        if self.kind == "depth_pro":
            return [depth for out in outputs for depth in _depth_pro_metres(out)]
        maps = [depth.float() for out in outputs for depth in out.predicted_depth]
        if self.kind == "zoedepth" and getattr(self.processor, "do_pad", False):
            return [_without_margin(d, i.shape[:2]) for d, i in zip(maps, images, strict=True)]
        return maps


class _DepthProInput:
    """Depth Pro's preprocessing, which transformers has for torchvision only: normalised first, then stretched."""

    def __init__(self, pretrained: str, revision: str | None) -> None:
        hub = require("transformers.image_processing_utils", "for depth networks", "data")
        from tr2m_plugin.weights import resolve_pretrained

        try:
            content, _ = hub.BaseImageProcessor.get_image_processor_dict(
                resolve_pretrained(pretrained), revision=revision
            )
        except OSError as error:
            raise InputError(f"{pretrained} has no preprocessor_config.json: {error}") from error
        size = content.get("size", {"height": 1536, "width": 1536})
        self.size = (int(size["height"]), int(size["width"]))
        self.mean, self.std = content.get("image_mean", [0.5] * 3), content.get("image_std", [0.5] * 3)

    def __call__(self, images: Sequence[np.ndarray], **options: str) -> dict[str, Tensor]:
        unit = torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).astype(np.float32) / 255)
        normal = (unit - torch.tensor(self.mean).view(3, 1, 1)) / torch.tensor(self.std).view(3, 1, 1)
        return {"pixel_values": F.interpolate(normal, self.size, mode="bilinear", align_corners=False)}


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
