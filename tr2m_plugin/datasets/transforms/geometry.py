"""Bringing picture and depth to the size of the network's input."""

from __future__ import annotations

from typing import Any

import cv2

from tr2m_plugin.datasets.arrays import stretch_image
from tr2m_plugin.datasets.transforms.base import BaseTransform
from tr2m_plugin.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ResizeDepthInputs(BaseTransform):
    """Stretches the picture and, in training, the depth to the size of the relative depth map.

    Relative depth was computed at the network's input size, so that size is what everything else follows. Depth is
    sampled, never blended: an average of two depths lies on neither surface.

    Args:
        depth: whether true depth is resized too; evaluation compares at its own size. Default: True.
    """

    def __init__(self, depth: bool = True) -> None:
        self.depth = depth

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        height, width = results["relative"].shape
        results["img"] = stretch_image(results["img"], (height, width))
        if self.depth and results["gt_depth"].shape != (height, width):
            results["gt_depth"] = cv2.resize(results["gt_depth"], (width, height), interpolation=cv2.INTER_NEAREST)
        return results
