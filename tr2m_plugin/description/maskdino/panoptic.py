"""From MaskDINO's predictions to a map of segments, as the authors evaluate panoptic segmentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tr2m_plugin.description.maskdino.categories import THINGS

PADDED_TO_MASK = 4
"""Masks are predicted at a quarter of the padded picture."""


class Segment(NamedTuple):
    """A segment of a panoptic map.

    Attributes:
        id: its number in the map, from 1.
        category: its class, as in `categories.COCO_PANOPTIC`.
        is_thing: whether it is one object rather than stuff.
        area: its share of the picture.
    """

    id: int
    category: int
    is_thing: bool
    area: float


def full_size_masks(outputs: Mapping[str, Any], size: tuple[int, int]) -> Tensor:
    """Mask logits (Q, H, W) at the size of the original picture: padding removed, then resized, bilinear."""
    masks = outputs["pred_masks"]
    masks = masks[None] if masks.ndim == 3 else masks
    if "image_size" in outputs:
        height, width = outputs["image_size"]
        padded = [PADDED_TO_MASK * side for side in masks.shape[-2:]]
        masks = F.interpolate(masks, padded, mode="bilinear", align_corners=False)[..., :height, :width]
    if tuple(masks.shape[-2:]) != tuple(size):
        masks = F.interpolate(masks, tuple(size), mode="bilinear", align_corners=False)
    return masks[0]


def panoptic_segments(
    outputs: Mapping[str, Any],
    size: tuple[int, int],
    object_mask_threshold: float = 0.25,
    overlap_threshold: float = 0.8,
    temperature: float | None = 0.06,
    things: frozenset[int] = THINGS,
) -> tuple[Tensor, list[Segment]]:
    """Joins the confident masks to a map in which every pixel belongs to one segment or none.

    Args:
        outputs: outputs of `MaskDino`; `pred_logits` (1, Q, classes) and `pred_masks` (1, Q, h, w). Without
            `image_size` the masks are those of the whole picture.
        size: height and width of the original picture.
        object_mask_threshold: queries whose best class scores no higher are left out. Default: 0.25.
        overlap_threshold: a segment is left out when less than this share of its mask is its own. Default: 0.8.
        temperature: temperature of the softmax over class scores by which masks compete; None lets the scores
            themselves compete. Default: 0.06.
        things: classes that are counted one by one; segments of any other class are merged. Default: COCO's.

    Returns:
        The map (H, W) int32, 0 where nothing was found, and its segments.
    """
    logits = outputs["pred_logits"]
    scores = (logits[0] if logits.ndim == 3 else logits).sigmoid()
    keep = scores.amax(-1) > object_mask_threshold
    weights, labels = ((scores / temperature).softmax(-1) if temperature else scores).max(-1)
    weights, labels = weights[keep], labels[keep]
    masks = full_size_masks(outputs, size)[keep].sigmoid()
    found = torch.zeros(tuple(size), dtype=torch.int32, device=masks.device)
    segments: list[Segment] = []
    if not len(masks):
        return found, segments
    owner = (weights[:, None, None] * masks).argmax(0)
    stuff: dict[int, int] = {}
    for number, (mask, label) in enumerate(zip(masks, labels.tolist(), strict=True)):
        own, whole = owner == number, mask >= 0.5
        pixels = own & whole
        if not pixels.any() or own.sum() / whole.sum() < overlap_threshold:
            continue
        is_thing = label in things
        if not is_thing and label in stuff:
            found[pixels] = stuff[label]
            continue
        segments.append(Segment(len(segments) + 1, label, is_thing, 0.0))
        found[pixels] = len(segments)
        if not is_thing:
            stuff[label] = len(segments)
    counts = torch.bincount(found.flatten(), minlength=len(segments) + 1)[1:] / found.numel()
    return found, [segment._replace(area=area) for segment, area in zip(segments, counts.tolist(), strict=True)]
