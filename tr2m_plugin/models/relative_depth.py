"""Frozen relative depth networks, loaded through transformers: Depth Anything, DPT, MiDaS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tr2m_plugin.models.encoders import Frozen, load_pretrained
from tr2m_plugin.registry import MODELS


@MODELS.register_module()
class RelativeDepth(Frozen):
    """A depth network of transformers with the preprocessing that was saved with it.

    Args:
        pretrained: a model for `AutoModelForDepthEstimation`. Default: LiheYoung/depth-anything-small-hf.
        size: height and width the pictures are stretched to, as TR2M sees them; None keeps the size saved with the
            network. Default: None.
        revision: of the hub repository. Default: its main branch.
        dtype: precision of the weights. Default: float32.
    """

    def __init__(
        self,
        pretrained: str = "LiheYoung/depth-anything-small-hf",
        size: Sequence[int] | None = None,
        revision: str | None = None,
        dtype: str = "float32",
    ) -> None:
        options = {"revision": revision}
        super().__init__(
            load_pretrained("AutoModelForDepthEstimation", pretrained, dtype=getattr(torch, dtype), **options)
        )
        self.processor = load_pretrained("AutoImageProcessor", pretrained, **options)
        self.size = None if size is None else (int(size[0]), int(size[1]))

    def preprocess(self, images: Sequence[np.ndarray]) -> Tensor:
        """Pictures, (H, W, 3) uint8 RGB each, as the network's input, (B, 3, h, w)."""
        options: dict[str, Any] = {}
        if self.size is not None:
            options = {"size": {"height": self.size[0], "width": self.size[1]}, "keep_aspect_ratio": False}
        pixels = self.processor(images=list(images), return_tensors="pt", **options)["pixel_values"]
        return pixels.to(self.network.device, self.network.dtype)

    @torch.no_grad()
    def forward(self, images: Sequence[np.ndarray]) -> Tensor:
        """The raw, disparity-like output for pictures of any size, (B, 1, h, w) float32."""
        pixels = self.preprocess(images)
        depth = self.network(pixels).predicted_depth[:, None].float()
        size = self.size or tuple(pixels.shape[-2:])
        if tuple(depth.shape[-2:]) != size:
            depth = F.interpolate(depth, size, mode="bilinear", align_corners=True)
        return depth
