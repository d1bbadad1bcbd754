"""Neural window fully-connected CRFs (Yuan et al., "NeWCRFs", CVPR 2022)."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@cache
def relative_positions(window: int) -> Tensor:
    """Row of the bias table for every pair of a window's pixels, (window², window²), as in Swin."""
    rows, columns = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    rows, columns = rows.flatten(), columns.flatten()
    down = rows[:, None] - rows[None] + window - 1
    right = columns[:, None] - columns[None] + window - 1
    return down * (2 * window - 1) + right


def to_windows(x: Tensor, window: int) -> Tensor:
    """(B, H, W, C), H and W multiples of the window, to (B, windows, window², C)."""
    b, h, w, c = x.shape
    x = x.view(b, h // window, window, w // window, window, c)
    return x.transpose(2, 3).reshape(b, -1, window * window, c)


def from_windows(x: Tensor, window: int, height: int, width: int) -> Tensor:
    """The inverse of `to_windows`, (B, H, W, C)."""
    b, c = x.shape[0], x.shape[-1]
    x = x.view(b, height // window, width // window, window, window, c)
    return x.transpose(2, 3).reshape(b, height, width, c)


def shift_mask(height: int, width: int, window: int, shift: int, device: torch.device) -> Tensor:
    """What a shifted window may not see, (windows, 1, window², window²): −100 between pixels that are no neighbours.

    After a cyclic shift, the last windows hold pixels from opposite borders of the padded map.
    """

    def band(size: int) -> Tensor:
        position = torch.arange(size, device=device)
        return (position >= size - window).int() + (position >= size - shift).int()

    region = 3 * band(height)[:, None] + band(width)[None]
    region = to_windows(region[None, ..., None], window)[0, ..., 0]
    return (region[:, :, None] != region[:, None]).float()[:, None] * -100


class WindowCRF(nn.Module):
    """One pass of messages inside windows: the features say who listens to whom, the potential what is said.

    Args:
        channels: number of channels of features and potential.
        num_heads: attention heads.
        window: side of the windows in pixels.
        shift: by how many pixels the windows are shifted.
    """

    def __init__(self, channels: int, num_heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.num_heads, self.window, self.shift = num_heads, window, shift
        self.norm_pairs = nn.LayerNorm(channels)
        self.query_key = nn.Linear(channels, 2 * channels)
        self.position_bias = nn.Parameter(torch.zeros((2 * window - 1) ** 2, num_heads))
        nn.init.trunc_normal_(self.position_bias, std=0.02)
        self.project = nn.Linear(channels, channels)
        self.norm_mlp = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels))

    def forward(self, x: Tensor, v: Tensor) -> Tensor:
        """Features (B, H, W, C) after hearing the potential (B, H, W, C), which is not normalised."""
        x = x + self._messages(self.norm_pairs(x), v)
        return x + self.mlp(self.norm_mlp(x))

    def _messages(self, x: Tensor, v: Tensor) -> Tensor:
        height, width = x.shape[1:3]
        pad = (0, 0, 0, -width % self.window, 0, -height % self.window)
        x, v = F.pad(x, pad), F.pad(v, pad)
        padded = (x.shape[1], x.shape[2])
        bias = self.position_bias[relative_positions(self.window).to(x.device)].permute(2, 0, 1)
        if self.shift:
            x, v = (t.roll((-self.shift, -self.shift), (1, 2)) for t in (x, v))
            mask = shift_mask(*padded, self.window, self.shift, x.device)
            bias = bias + mask.to(bias.dtype)
        heads = (self.num_heads, -1)
        q, k = self.query_key(to_windows(x, self.window)).chunk(2, -1)
        q, k, v = (t.unflatten(-1, heads).transpose(2, 3) for t in (q, k, to_windows(v, self.window)))
        # (B, windows, heads, window², C / heads); the batch shares the bias, and so do windows that are not shifted.
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype).expand(*q.shape[:3], -1, -1))
        out = self.project(out.transpose(2, 3).flatten(3))
        out = from_windows(out, self.window, *padded)
        if self.shift:
            out = out.roll((self.shift, self.shift), (1, 2))
        return out[:, :height, :width]


class NeuralWindowCRFs(nn.Module):
    """A level of the decoder: two window CRFs, the second on shifted windows, with the same potential.

    Args:
        feature_channels: number of channels of the encoder's features.
        channels: C, inside.
        potential_channels: number of channels of the coarser level's prediction.
        num_heads: attention heads.
        window: side of the windows in pixels. Default: 7.
    """

    def __init__(
        self, feature_channels: int, channels: int, potential_channels: int, num_heads: int, window: int = 7
    ) -> None:
        super().__init__()
        self.project_features = _projection(feature_channels, channels)
        self.project_potential = _projection(potential_channels, channels)
        self.crfs = nn.ModuleList(WindowCRF(channels, num_heads, window, shift) for shift in (0, window // 2))
        self.norm = nn.LayerNorm(channels)

    def forward(self, features: Tensor, potential: Tensor) -> Tensor:
        """(B, feature_channels, H, W) and (B, potential_channels, H, W) to (B, C, H, W)."""
        x = self.project_features(features).permute(0, 2, 3, 1)
        v = self.project_potential(potential).permute(0, 2, 3, 1)
        for crf in self.crfs:
            x = crf(x, v)
        return self.norm(x).permute(0, 3, 1, 2)


def _projection(inputs: int, outputs: int) -> nn.Module:
    return nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 3, padding=1)
