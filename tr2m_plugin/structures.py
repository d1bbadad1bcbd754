"""What travels with an image through datasets, models and metrics."""

from __future__ import annotations

from typing import Literal

import torch
from mmengine.structures import BaseDataElement, PixelData
from torch import Tensor

Space = Literal["disparity", "depth"]
"""What a map's numbers are: disparity (the larger, the nearer) or depth."""


class DepthDataSample(BaseDataElement):
    """Depth maps of one image, and what is known about it.

    Maps are `PixelData` whose `data` is (1, H, W) float; depth is in the unit of the sample's dataset, named `unit`
    in its metainfo, and 0 means no measurement.

    Metainfo:
        sample_id: unique inside its dataset. dataset: its name. unit: of depth, "m" or "mm". text: the sentence.
        depth_range: (nearest, farthest) depth that is evaluated. protocol: name of the protocol that says how, or None
        for all pixels in that range.

    Attributes:
        gt_depth_map: true depth.
        relative_depth_map: the relative model's raw, disparity-like output.
        pred_depth_map: predicted depth.
        scale_map: A of eq. 3.
        shift_map: B of eq. 3.
        text_features: the sentence's embedding, (1, T).
        image_features: the image encoder's patch tokens where they were computed beforehand, (P, C).
    """

    gt_depth_map: PixelData
    relative_depth_map: PixelData
    pred_depth_map: PixelData
    scale_map: PixelData
    shift_map: PixelData
    text_features: Tensor
    image_features: Tensor


def stack_maps(samples: list[DepthDataSample], name: str) -> Tensor:
    """The map of that name of every sample, (1, H, W) or (H, W), as one tensor (B, 1, H, W).

    Raises:
        KeyError: a sample lacks it; the message names the sample and what it has.
        RuntimeError: their sizes differ.
    """
    for sample in samples:
        if name not in sample:
            held = ", ".join(sorted(sample.keys())) or "nothing"
            raise KeyError(f"sample {sample.get('sample_id', '?')} has no {name}, only {held}")
    maps = [sample.get(name).data for sample in samples]
    return torch.stack([data if data.ndim == 3 else data[None] for data in maps])
