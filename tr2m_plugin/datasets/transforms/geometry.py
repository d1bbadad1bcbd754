"""Bringing picture and depth to the size of the network's input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2

from tr2m_plugin.datasets.transforms.base import BaseTransform
from tr2m_plugin.errors import InputError
from tr2m_plugin.registry import TRANSFORMS
from tr2m_plugin.tensors import stretch_image


@TRANSFORMS.register_module()
class ResizeDepthInputs(BaseTransform):
    """Stretches the picture and, in training, the depth to the size of the network's input.

    Depth is sampled, never blended: an average of two depths lies on neither surface.

    Args:
        depth: whether true depth is resized too; evaluation compares at its own size. Default: True.
        size: height and width. Default: those of the relative depth map, which was computed at the network's input
            size.
        aligned: see `stretch_image`. Default: False.

    Raises:
        InputError: there is neither a size nor a relative depth map.
    """

    def __init__(self, depth: bool = True, size: Sequence[int] | None = None, aligned: bool = False) -> None:
        self.depth, self.size, self.aligned = depth, size, aligned

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if self.size is None and "relative" not in results:
            raise InputError("ResizeDepthInputs needs a `size` where the dataset has no relative depth")
        height, width = results["relative"].shape if self.size is None else self.size
        if "relative" in results and results["relative"].shape != (height, width):
            results["relative"] = cv2.resize(results["relative"], (width, height), interpolation=cv2.INTER_LINEAR)
        results["img"] = stretch_image(results["img"], (height, width), self.aligned)
        if self.depth and results["gt_depth"].shape != (height, width):
            results["gt_depth"] = cv2.resize(results["gt_depth"], (width, height), interpolation=cv2.INTER_NEAREST)
        return results
