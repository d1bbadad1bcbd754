"""Augmentation of pictures with depth: what moves a pixel moves its depths alike.

The operations and their order are those of BTS and NeWCRFs; true depth is sampled, never blended, and 0 where nothing
was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mmcv
import numpy as np

from tr2m_plugin.datasets.transforms.base import BaseTransform
from tr2m_plugin.errors import InputError
from tr2m_plugin.registry import TRANSFORMS

MAPS = ("gt_depth", "relative")
"""What is as large as the picture, after resizing, and moves with it."""


def move(results: dict[str, Any], operation: Callable[[np.ndarray, str], np.ndarray]) -> dict[str, Any]:
    """Applies an operation to the picture and its maps.

    Args:
        results: with `img`, and `gt_depth` and `relative` where there are any.
        operation: takes an array and its interpolation, `bilinear` or `nearest`.

    Raises:
        InputError: a map is not of the picture's size.
    """
    size = results["img"].shape[:2]
    for name in MAPS:
        if name in results and results[name].shape != size:
            raise InputError(
                f"{name} is {results[name].shape} and the picture {size}: ResizeDepthInputs must come before"
            )
    results["img"] = operation(results["img"], "bilinear")
    if "gt_depth" in results:
        results["gt_depth"] = operation(results["gt_depth"], "nearest")
    if "relative" in results:
        results["relative"] = operation(results["relative"], "bilinear")
    return results


@TRANSFORMS.register_module()
class MaskDepthBorder(BaseTransform):
    """Drops true depth outside a rectangle, such as the blank border of registered Kinect pictures.

    Args:
        box: top, bottom, left, right in pixels; rows top:bottom and columns left:right stay. NYUv2's is
            45, 472, 43, 608.
        datasets: names of the datasets it is for. Default: all.
    """

    def __init__(self, box: Sequence[int], datasets: Sequence[str] | None = None) -> None:
        self.box, self.datasets = tuple(box), datasets

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if self.datasets is not None and results["dataset"] not in self.datasets:
            return results
        top, bottom, left, right = self.box
        inside = np.zeros_like(results["gt_depth"])
        inside[top:bottom, left:right] = results["gt_depth"][top:bottom, left:right]
        return {**results, "gt_depth": inside}


@TRANSFORMS.register_module()
class RandomRotateDepth(BaseTransform):
    """Turns the picture about its centre; corners that it does not cover become black, without depth.

    Args:
        degrees: the largest angle to either side. NeWCRFs: 2.5 for NYUv2, 1 for KITTI.
    """

    def __init__(self, degrees: float) -> None:
        self.degrees = degrees

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        angle = np.random.uniform(-self.degrees, self.degrees)
        return move(results, lambda array, how: mmcv.imrotate(array, angle, interpolation=how))


@TRANSFORMS.register_module()
class RandomCropDepth(BaseTransform):
    """Cuts out a window.

    Args:
        size: its height and width in pixels.

    Raises:
        InputError: the picture is smaller.
    """

    def __init__(self, size: Sequence[int]) -> None:
        self.size = (int(size[0]), int(size[1]))

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        height, width = self.size
        spare = [have - want for have, want in zip(results["img"].shape, self.size, strict=False)]
        if min(spare) < 0:
            raise InputError(
                f"{results.get('sample_id', 'a picture')} is {results['img'].shape[:2]}, too small for a crop of "
                f"{self.size}"
            )
        top, left = (int(np.random.randint(count + 1)) for count in spare)
        return move(results, lambda array, _: array[top : top + height, left : left + width])


@TRANSFORMS.register_module()
class RandomFlipDepth(BaseTransform):
    """Mirrors the picture left to right.

    Args:
        prob: how often. Default: 0.5.
    """

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = prob

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if np.random.rand() >= self.prob:
            return results
        return move(results, lambda array, _: np.ascontiguousarray(mmcv.imflip(array)))


def _draw(limits: Sequence[float]) -> float:
    return float(np.random.uniform(limits[0], limits[1]))


@TRANSFORMS.register_module()
class RandomColor(BaseTransform):
    """Changes gamma, brightness and the balance of colours, each by a random factor.

    Args:
        gamma: range of the exponent on values in 0..1. Default: 0.9 to 1.1.
        brightness: range of the factor on all channels; NeWCRFs has 0.75 to 1.25 for NYUv2. Default: 0.9 to 1.1.
        color: range of the factor on each channel. Default: 0.9 to 1.1.
        prob: how often. Default: 0.5.
    """

    def __init__(
        self,
        gamma: Sequence[float] = (0.9, 1.1),
        brightness: Sequence[float] = (0.9, 1.1),
        color: Sequence[float] = (0.9, 1.1),
        prob: float = 0.5,
    ) -> None:
        self.gamma, self.brightness, self.color, self.prob = gamma, brightness, color, prob

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if np.random.rand() >= self.prob:
            return results
        exponent, factor = _draw(self.gamma), _draw(self.brightness)
        values = (results["img"] / np.float32(255)) ** np.float32(exponent) * np.float32(factor)
        values *= np.array([_draw(self.color) for _ in range(3)], np.float32)
        results["img"] = (values.clip(0, 1) * 255).round().astype(np.uint8)
        return results
