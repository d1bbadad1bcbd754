"""Augmentation of pictures with depth: what moves a pixel moves its depths alike.

The operations and their order are those of BTS and NeWCRFs; true depth is sampled, never blended, and 0 where nothing
was measured.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import cv2
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
        InputError: a map is not of the picture's size; or there are features that would not move.
    """
    if "tokens" in results:
        raise InputError(
            "image_features computed beforehand stay where they are when the picture moves: leave them out of the "
            "dataset, so that the model's image_encoder computes them, or the augmentation out of the pipeline"
        )
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


class RandomColors(BaseTransform):
    """Base of what changes colours and moves nothing.

    Args:
        prob: how often. Default: 0.5.
        datasets: names of the datasets it is for. Default: all.
    """

    def __init__(self, prob: float = 0.5, datasets: Sequence[str] | None = None) -> None:
        self.prob, self.datasets = prob, datasets

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if self.datasets is not None and results["dataset"] not in self.datasets:
            return results
        if np.random.rand() < self.prob:
            results["img"] = self.change(results["img"])
        return results

    @abstractmethod
    def change(self, image: np.ndarray) -> np.ndarray:
        """A picture in other colours; (H, W, 3) RGB in 0..255, uint8 or float32, of the same kind."""


@TRANSFORMS.register_module()
class RandomColor(RandomColors):
    """Changes gamma, brightness and the balance of colours, each by a random factor, as BTS and NeWCRFs do.

    Args:
        gamma: range of the exponent on values in 0..1. Default: 0.9 to 1.1.
        brightness: range of the factor on all channels; NeWCRFs has 0.75 to 1.25 for NYUv2. Default: 0.9 to 1.1.
        color: range of the factor on each channel. Default: 0.9 to 1.1.
        prob: how often. Default: 0.5.
        datasets: names of the datasets it is for. Default: all.
    """

    def __init__(
        self,
        gamma: Sequence[float] = (0.9, 1.1),
        brightness: Sequence[float] = (0.9, 1.1),
        color: Sequence[float] = (0.9, 1.1),
        prob: float = 0.5,
        datasets: Sequence[str] | None = None,
    ) -> None:
        super().__init__(prob, datasets)
        self.gamma, self.brightness, self.color = gamma, brightness, color

    def change(self, image: np.ndarray) -> np.ndarray:
        """See `RandomColors.change`."""
        exponent, factor = _draw(self.gamma), _draw(self.brightness)
        values = (image / np.float32(255)) ** np.float32(exponent) * np.float32(factor)
        values *= np.array([_draw(self.color) for _ in range(3)], np.float32)
        return _like(values.clip(0, 1) * 255, image)


@TRANSFORMS.register_module()
class RandomColorJitter(RandomColors):
    """Changes brightness, contrast, saturation and hue in a random order, as torchvision's ColorJitter does.

    Args:
        brightness: the factor is drawn from 1 − brightness to 1 + brightness. Default: 0.2.
        contrast: the same for contrast. Default: 0.2.
        saturation: the same for saturation. Default: 0.2.
        hue: how far the hue moves at most, as a share of the circle. Default: 0.1.
        prob: how often. Default: 0.5.
        datasets: names of the datasets it is for. Default: all.
    """

    def __init__(
        self,
        brightness: float = 0.2,
        contrast: float = 0.2,
        saturation: float = 0.2,
        hue: float = 0.1,
        prob: float = 0.5,
        datasets: Sequence[str] | None = None,
    ) -> None:
        super().__init__(prob, datasets)
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue

    def change(self, image: np.ndarray) -> np.ndarray:
        """See `RandomColors.change`."""
        steps = [
            lambda bgr: mmcv.adjust_brightness(bgr, _draw((1 - self.brightness, 1 + self.brightness))),
            lambda bgr: mmcv.adjust_contrast(bgr, _draw((1 - self.contrast, 1 + self.contrast))),
            lambda bgr: mmcv.adjust_color(bgr, _draw((1 - self.saturation, 1 + self.saturation))),
            lambda bgr: _turn_hue(bgr, _draw((-self.hue, self.hue))),
        ]
        bgr = np.ascontiguousarray(image[..., ::-1], np.float32)
        for number in np.random.permutation(len(steps)):
            bgr = steps[number](bgr)
        return _like(bgr[..., ::-1], image)


def _turn_hue(bgr: np.ndarray, share: float) -> np.ndarray:
    hsv = cv2.cvtColor(bgr / np.float32(255), cv2.COLOR_BGR2HSV)
    hsv[..., 0] = (hsv[..., 0] + 360 * share) % 360
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR) * np.float32(255)


def _like(values: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Values in 0..255 as numbers of the picture's kind."""
    return values.round().astype(np.uint8) if image.dtype == np.uint8 else np.ascontiguousarray(values, np.float32)
