"""Bringing relative depth to metric scale with the help of the truth (paper, Tables 1-2, grey rows).

What a network returns is `disparity` (the larger, the nearer: Depth Anything, MiDaS, DPT) or `depth`. All of these use
ground truth and say what a perfect choice of scale and shift would give, per image or for a whole dataset.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from tr2m_plugin.errors import InputError
from tr2m_plugin.structures import Space

FLOOR = 1e-6
"""Smallest inverse depth: where a fit turns negative, depth is the protocol's farthest."""


def inverse(values: np.ndarray) -> np.ndarray:
    """Depth of disparity, or disparity of depth; what is not positive counts as the smallest."""
    return 1 / np.maximum(values, FLOOR)


def median_scale(relative: np.ndarray, truth: np.ndarray, valid: np.ndarray) -> tuple[float, float]:
    """Scale and shift that give inverse relative depth the truth's median over the valid pixels; the shift is zero.

    Args:
        relative: relative depth, disparity-like, (H, W).
        truth: true depth, (H, W).
        valid: which pixels count, (H, W) bool.
    """
    valid = valid & np.isfinite(relative)
    if not valid.any():
        return 0.0, 0.0
    middle = np.median(inverse(relative[valid].astype(np.float64)))
    return float(middle / np.median(truth[valid])), 0.0


class ScaleShiftFit:
    """Least squares of scale · x + shift against the truth, accumulated over any number of images.

    Every image weighs the same, however many of its pixels are valid.

    Args:
        space: `disparity` fits 1 / depth, as TR2M does (paper, eq. 3); `depth` fits depth (eq. 10). Default: disparity.

    Attributes:
        count: how many images were added.
    """

    def __init__(self, space: Space = "disparity") -> None:
        self.space = space
        self.count = 0
        self._normal = np.zeros((2, 2))
        self._right = np.zeros(2)

    def add(self, values: np.ndarray, truth: np.ndarray, valid: np.ndarray) -> ScaleShiftFit:
        """Adds the valid pixels of an image, where its values are finite; all three are (H, W)."""
        valid = valid & np.isfinite(values)
        self.count += 1
        if valid.any():
            x, depth = values[valid].astype(np.float64), truth[valid].astype(np.float64)
            y = 1 / depth if self.space == "disparity" else depth
            self._normal += np.array([[np.mean(x * x), np.mean(x)], [np.mean(x), 1.0]])
            self._right += np.array([np.mean(x * y), np.mean(y)])
        return self

    def solve(self) -> tuple[float, float]:
        """Scale and shift; the least-norm solution when the values do not vary."""
        scale, shift = np.linalg.lstsq(self._normal, self._right, rcond=None)[0]
        return float(scale), float(shift)


def linear_fit(
    values: np.ndarray, truth: np.ndarray, valid: np.ndarray, space: Space = "disparity"
) -> tuple[float, float]:
    """Scale and shift of one image by least squares; see `ScaleShiftFit`."""
    return ScaleShiftFit(space).add(values, truth, valid).solve()


def apply_scale_shift(values: np.ndarray, scale: float, shift: float, space: Space = "disparity") -> np.ndarray:
    """Metric depth, (H, W): 1 / (scale · values + shift), or for a fit in depth scale · values + shift."""
    fitted = scale * values.astype(np.float64) + shift
    return (inverse(fitted) if space == "disparity" else fitted).astype(np.float32)


@dataclass(frozen=True)
class AlignmentKind:
    """A way to align.

    Attributes:
        label: what the paper's tables call it; in small letters it follows the model's name, so no two are the same.
        fit: scale and shift of one image, from values, truth and which pixels count, (H, W) each; None for least
            squares over many images. The truth is depth; the values are disparity where `space` is `disparity`, else
            what the network returns. Values may be NaN, infinite, 0 or negative where the truth counts, or nothing may
            count.
        space: of scale · values + shift: `disparity`, its inverse is depth, whatever the network returns; or `depth`,
            it is depth, also where the network returns disparity.
        over: what one fit is of: an `image`, a `dataset`, or `all` datasets together.

    Raises:
        TypeError: it has both a `fit` of an image and least squares over more, or neither.
    """

    label: str
    fit: Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[float, float]] | None = None
    space: Space = "disparity"
    over: Literal["image", "dataset", "all"] = "image"

    def __post_init__(self) -> None:
        if (self.fit is None) == (self.over == "image"):
            raise TypeError(f"{self.label}: give either `fit`, which is of an image, or `over`, a dataset or all")


ALIGNMENTS: dict[str, AlignmentKind] = {
    "median": AlignmentKind("Median", median_scale),
    "linear": AlignmentKind("Linear Fit", linear_fit),
    "linear_depth": AlignmentKind("Linear Fit in depth", partial(linear_fit, space="depth"), "depth"),
    "global": AlignmentKind("Global", over="dataset"),
    "global_depth": AlignmentKind("Global in depth", space="depth", over="dataset"),
    "global_all": AlignmentKind("Global (all datasets)", over="all"),
    "global_all_depth": AlignmentKind("Global in depth (all datasets)", space="depth", over="all"),
}
"""All alignments by name: scale by the median of an image; scale and shift by least squares, of an image, of a dataset
or of all datasets together, in disparity or in depth."""


class Alignment:
    """One of `ALIGNMENTS` for what a network returns.

    A fit in disparity takes the network's disparity, or the inverse of its depth. A fit in depth takes what the network
    returns, as eq. 10 does with its D_r.

    Args:
        name: one of `ALIGNMENTS`.
        returns: what the network returns, `disparity` or `depth`.

    Raises:
        InputError: there is no alignment of that name.
    """

    def __init__(self, name: str, returns: Space) -> None:
        if name not in ALIGNMENTS:
            raise InputError(f"alignment must be one of {', '.join(ALIGNMENTS)}, not {name!r}")
        self.kind = ALIGNMENTS[name]
        self._invert = self.kind.space == "disparity" and returns == "depth"
        self._fit = ScaleShiftFit(self.kind.space)
        self._solution: tuple[float, float] | None = None

    @property
    def over_dataset(self) -> bool:
        """Whether `add` must see every image before the first `apply`."""
        return self.kind.over != "image"

    @property
    def over_all(self) -> bool:
        """Whether one fit is of all datasets."""
        return self.kind.over == "all"

    @property
    def fitted(self) -> bool:
        """Whether `apply` can be called: nothing need be seen before, or something was."""
        return not self.over_dataset or self._fit.count > 0

    def add(self, values: np.ndarray, truth: np.ndarray, valid: np.ndarray) -> None:
        """Takes an image into the fit over the dataset; all three are (H, W)."""
        self._fit.add(self._values(values), truth, valid)
        self._solution = None

    def apply(self, values: np.ndarray, truth: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Metric depth of an image, (H, W) float32.

        Raises:
            InputError: scale or shift is not finite, of which nothing would be measured but the protocol's limits.
        """
        x = self._values(values)
        if self.kind.fit is not None:
            scale, shift = self.kind.fit(x, truth, valid)
        else:
            scale, shift = self._solution = self._solution or self._fit.solve()
        if not np.isfinite([scale, shift]).all():
            raise InputError(f"the alignment {self.kind.label!r} gives the scale {scale} and the shift {shift}")
        return apply_scale_shift(x, scale, shift, self.kind.space)

    def _values(self, values: np.ndarray) -> np.ndarray:
        return inverse(values.astype(np.float64)) if self._invert else values
