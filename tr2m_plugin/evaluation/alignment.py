"""Bringing a relative depth map to metric scale with the help of the truth (paper, Tables 1-2, grey rows).

Relative depth is disparity-like: the larger, the nearer. All of these use ground truth and say what a perfect choice of
scale and shift would give, per image or for a whole dataset.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

FLOOR = 1e-6
"""Smallest inverse depth: where a fit turns negative, depth is the protocol's farthest."""


def median_scale(relative: np.ndarray, truth: np.ndarray, valid: np.ndarray) -> tuple[float, float]:
    """Scale and shift that give inverse relative depth the truth's median over the valid pixels; the shift is zero.

    Args:
        relative: relative depth, (H, W).
        truth: true depth, (H, W).
        valid: which pixels count, (H, W) bool.
    """
    if not valid.any():
        return 0.0, 0.0
    inverse = np.median(1 / np.maximum(relative[valid].astype(np.float64), FLOOR))
    return float(inverse / np.median(truth[valid])), 0.0


class DisparityFit:
    """Least squares of scale · relative + shift against 1 / depth, accumulated over any number of images.

    Every image weighs the same, however many of its pixels are valid.
    """

    def __init__(self) -> None:
        self._normal = np.zeros((2, 2))
        self._right = np.zeros(2)

    def add(self, relative: np.ndarray, truth: np.ndarray, valid: np.ndarray) -> DisparityFit:
        """Adds the valid pixels of an image; all three are (H, W)."""
        if valid.any():
            x, y = relative[valid].astype(np.float64), 1 / truth[valid].astype(np.float64)
            self._normal += np.array([[np.mean(x * x), np.mean(x)], [np.mean(x), 1.0]])
            self._right += np.array([np.mean(x * y), np.mean(y)])
        return self

    def solve(self) -> tuple[float, float]:
        """Scale and shift; the least-norm solution when relative depth does not vary."""
        scale, shift = np.linalg.lstsq(self._normal, self._right, rcond=None)[0]
        return float(scale), float(shift)


def linear_fit(relative: np.ndarray, truth: np.ndarray, valid: np.ndarray) -> tuple[float, float]:
    """Scale and shift of one image by least squares in disparity; arguments as in `median_scale`."""
    return DisparityFit().add(relative, truth, valid).solve()


def global_fit(images: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """One scale and one shift for many images, each given as relative depth, truth and validity."""
    fit = DisparityFit()
    for relative, truth, valid in images:
        fit.add(relative, truth, valid)
    return fit.solve()


def apply_scale_shift(relative: np.ndarray, scale: float, shift: float) -> np.ndarray:
    """Metric depth 1 / (scale · relative + shift), (H, W)."""
    return (1 / np.maximum(scale * relative.astype(np.float64) + shift, FLOOR)).astype(np.float32)
