"""Deformable attention over several feature maps (Zhu et al., "Deformable DETR", ICLR 2021), and positions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

POINTS = 4
"""Sampling points per head and level."""


def sine_encoding(position: Tensor, channels: int, temperature: float = 10000.0) -> Tensor:
    """Positions (...) in 0..1 as sines and cosines of rising wavelengths, (..., channels)."""
    index = torch.arange(channels, device=position.device) // 2
    angle = 2 * math.pi * position[..., None] / temperature ** (2 * index / channels)
    return torch.stack((angle[..., 0::2].sin(), angle[..., 1::2].cos()), -1).flatten(-2)


def grid_encoding(height: int, width: int, channels: int, device: torch.device) -> Tensor:
    """Positions of a map's pixels, row first, (1, height · width, channels); the last pixel is at 1."""
    rows = torch.arange(1, height + 1, device=device) / (height + 1e-6)
    columns = torch.arange(1, width + 1, device=device) / (width + 1e-6)
    y = sine_encoding(rows, channels // 2)[:, None].expand(-1, width, -1)
    x = sine_encoding(columns, channels // 2)[None].expand(height, -1, -1)
    return torch.cat((y, x), -1).flatten(0, 1)[None]


def pixel_centres(height: int, width: int, device: torch.device) -> Tensor:
    """Centres of a map's pixels as x and y in 0..1, (height · width, 2)."""
    y = (torch.arange(height, device=device) + 0.5) / height
    x = (torch.arange(width, device=device) + 0.5) / width
    return torch.stack((x.expand(height, -1), y[:, None].expand(-1, width)), -1).flatten(0, 1)


class DeformableAttention(nn.Module):
    """Each query looks at a few learned points around its reference, in every level.

    Args:
        channels: number of channels of queries and values.
        levels: feature maps.
        heads: attention heads.
    """

    def __init__(self, channels: int, levels: int, heads: int) -> None:
        super().__init__()
        self.levels, self.heads = levels, heads
        self.sampling_offsets = nn.Linear(channels, heads * levels * POINTS * 2)
        self.attention_weights = nn.Linear(channels, heads * levels * POINTS)
        self.value_proj = nn.Linear(channels, channels)
        self.output_proj = nn.Linear(channels, channels)

    def forward(self, query: Tensor, reference: Tensor, memory: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
        """What the queries see, (B, Q, C).

        Args:
            query: (B, Q, C).
            reference: points (B, Q, 2) or boxes (B, Q, 4), as centre and size in 0..1.
            memory: the levels' pixels one after another, (B, N, C).
            sizes: height and width of each level.
        """
        b, q, c = query.shape
        offsets = self.sampling_offsets(query).view(b, q, self.heads, self.levels, POINTS, 2)
        weights = self.attention_weights(query).view(b, q, self.heads, -1).softmax(-1)
        centre = reference[:, :, None, None, None, :2]
        if reference.shape[-1] == 4:
            points = centre + offsets / POINTS * reference[:, :, None, None, None, 2:] * 0.5
        else:
            scale = query.new_tensor([[width, height] for height, width in sizes])
            points = centre + offsets / scale[:, None]
        values = self.value_proj(memory).view(b, -1, self.heads, c // self.heads).permute(0, 2, 3, 1).flatten(0, 1)
        points = 2 * points.transpose(1, 2).flatten(0, 1) - 1
        seen = [
            F.grid_sample(level.unflatten(2, size), points[:, :, number], align_corners=False)
            for number, (level, size) in enumerate(zip(values.split([h * w for h, w in sizes], 2), sizes, strict=True))
        ]
        weighted = torch.cat(seen, -1) * weights.transpose(1, 2).flatten(0, 1)[:, None]
        return self.output_proj(weighted.sum(-1).view(b, c, q).transpose(1, 2))
