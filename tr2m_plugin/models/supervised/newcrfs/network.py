"""NeWCRFs: a Swin encoder, pyramid pooling, and window CRFs from coarse to fine (Yuan et al., CVPR 2022)."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tr2m_plugin.errors import InputError, require
from tr2m_plugin.models.frozen.encoders import load_pretrained
from tr2m_plugin.models.supervised.base import SupervisedDepthModel
from tr2m_plugin.models.supervised.newcrfs.crf import NeuralWindowCRFs
from tr2m_plugin.registry import MODELS

STRIDE = 32
"""What height and width of the images must be multiples of."""


class Sizes(NamedTuple):
    """A Swin encoder's sizes, and the widths of the CRFs from fine to coarse."""

    embed_dim: int
    depths: tuple[int, ...]
    num_heads: tuple[int, ...]
    crf_channels: tuple[int, ...] = (128, 256, 512, 1024)
    crf_heads: tuple[int, ...] = (4, 8, 16, 32)
    pool_channels: int = 512


SIZES = {
    "mini": Sizes(24, (1, 1, 2, 1), (1, 2, 4, 8), (32, 64, 128, 256), (1, 2, 4, 8), 128),
    "tiny": Sizes(96, (2, 2, 6, 2), (3, 6, 12, 24)),
    "base": Sizes(128, (2, 2, 18, 2), (4, 8, 16, 32)),
    "large": Sizes(192, (2, 2, 18, 2), (6, 12, 24, 48)),
}
"""The published sizes, and a small one of ours."""


def parse_version(version: str) -> tuple[Sizes, int]:
    """Sizes and window of a name such as tiny07.

    Raises:
        InputError: the name is another.
    """
    match = re.fullmatch(r"([a-z]+)(\d\d)", version)
    if not match or match[1] not in SIZES:
        raise InputError(
            f"version must be one of {', '.join(SIZES)} and a window in two digits, such as tiny07, not {version!r}"
        )
    return SIZES[match[1]], int(match[2])


class PyramidPooling(nn.Module):
    """Features beside their means over 1, 4, 9 and 36 cells, mixed by a 3×3 convolution.

    As in the published weights, group normalisation follows each pooled branch and batch normalisation the mixture.

    Args:
        channels: number of channels of the coarsest features.
        pool_channels: number of channels of each branch and of the result.
    """

    def __init__(self, channels: int, pool_channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.AdaptiveAvgPool2d(cells),
                nn.Conv2d(channels, pool_channels, 1, bias=False),
                nn.GroupNorm(pool_channels // 2, pool_channels),
                nn.ReLU(),
            )
            for cells in (1, 2, 3, 6)
        )
        mixed = channels + 4 * pool_channels
        self.mix = nn.Sequential(
            nn.Conv2d(mixed, pool_channels, 3, padding=1, bias=False), nn.BatchNorm2d(pool_channels), nn.ReLU()
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, pool_channels, H, W)."""
        size = x.shape[-2:]
        pooled = [F.interpolate(branch(x), size, mode="bilinear", align_corners=False) for branch in self.branches]
        return self.mix(torch.cat([x, *pooled], 1))


@MODELS.register_module()
class NeWCRFs(SupervisedDepthModel):
    """Neural window fully-connected CRFs for metric depth.

    Our own writing on transformers' `SwinBackbone`; the authors' weights load through `load_newcrfs_weights`.

    Args:
        version: size of the Swin encoder and its window: tiny07, base07, large07; mini07 is a small one of ours.
            Default: tiny07.
        max_depth: the farthest depth that can be predicted, in the datasets' unit. Default: 10.
        drop_path_rate: rate of dropped paths of the encoder. Default: 0.3.
        pretrained: a Swin classifier of that size for `SwinBackbone.from_pretrained`, whose encoder is where training
            starts. Default: random weights.
        loss: options of `SILogLoss`. Default: λ = 0.85, the root, times 10, over all valid pixels of the batch.
        flip_average: whether `predict` averages a picture and its mirror image, as the authors evaluate. Default:
            False.
        data_preprocessor: config of MMEngine's.
        init_cfg: MMEngine initialisation.

    Raises:
        InputError: the version is unknown, or the pretrained encoder is not there or of another size.
    """

    def __init__(
        self,
        version: str = "tiny07",
        max_depth: float = 10.0,
        drop_path_rate: float = 0.3,
        pretrained: str | None = None,
        loss: dict | None = None,
        flip_average: bool = False,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        loss = {"type": "SILogLoss", "lam": 0.85, "sqrt": True, "scale": 10.0, "per_image": False, **(loss or {})}
        super().__init__(loss, flip_average, data_preprocessor, init_cfg)
        sizes, window = parse_version(version)
        self.max_depth = max_depth
        self.backbone = _encoder(sizes, window, drop_path_rate, pretrained)
        widths: list[int] = self.backbone.channels
        self.pooling = PyramidPooling(widths[-1], sizes.pool_channels)
        # A level's potential is the coarser level's result, rearranged into four times as many pixels.
        potentials = [channels // 4 for channels in sizes.crf_channels[1:]] + [sizes.pool_channels]
        self.levels = nn.ModuleList(
            NeuralWindowCRFs(*channels)
            for channels in zip(widths, sizes.crf_channels, potentials, sizes.crf_heads, strict=True)
        )
        self.head = nn.Conv2d(sizes.crf_channels[0], 1, 3, padding=1)

    def estimate(self, images: Tensor) -> Tensor:
        """Depth (B, 1, H, W) of normalised images (B, 3, H, W).

        Raises:
            InputError: H or W is no multiple of 32.
        """
        height, width = images.shape[-2:]
        if height % STRIDE or width % STRIDE:
            raise InputError(f"NeWCRFs takes images whose sides are multiples of {STRIDE}, not {height} × {width}")
        features = self.backbone(images).feature_maps
        x = self.pooling(features[-1])
        for number in (3, 2, 1, 0):
            x = self.levels[number](features[number], x)
            if number:
                x = F.pixel_shuffle(x, 2)
        share = torch.sigmoid(self.head(x))
        return self.max_depth * F.interpolate(share, scale_factor=4, mode="bilinear", align_corners=False)


def _encoder(sizes: Sizes, window: int, drop_path_rate: float, pretrained: str | None) -> Any:
    transformers = require("transformers", "to build Swin encoders", "data")
    config = transformers.SwinConfig(
        embed_dim=sizes.embed_dim,
        depths=list(sizes.depths),
        num_heads=list(sizes.num_heads),
        window_size=window,
        drop_path_rate=drop_path_rate,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    if pretrained is None:
        encoder = transformers.SwinBackbone(config)
    else:
        try:
            encoder = load_pretrained("SwinBackbone", pretrained, config=config)
        except InputError as error:
            raise InputError(f"{pretrained!r} is no Swin encoder of this version's size: {error}") from error
    # It serves classification only; here it would be parameters without a gradient.
    encoder.swin.layernorm = nn.Identity()
    return encoder
