"""How well a ranking of pixels finds the large errors: sparsification curves and their area.

Ilg et al., "Uncertainty estimates and multi-hypotheses networks for optical flow", ECCV 2018, section 5.2.
"""

from __future__ import annotations

import numpy as np

STEPS = 100
"""A curve has a point at every hundredth of the pixels."""


def sparsification(errors: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Mean error of the pixels that are left when the least sure are removed, divided by that of all.

    Args:
        errors: of each pixel, (N,), 0 or more, not none.
        ranks: how unsure each is, (N,); the largest go first. Pixels of one rank share their mean error, as though
            their order were drawn at random and averaged: a constant gives the flat curve of a random order, and the
            errors themselves give the oracle's.

    Returns:
        A value for each share k / `STEPS` of the pixels that was removed, k = 0 … `STEPS` − 1; the first is 1. Ones
        where no pixel has an error.
    """
    _, place, counts = np.unique(ranks, return_inverse=True, return_counts=True)
    surest_first = np.repeat(np.bincount(place, np.asarray(errors, np.float64)) / counts, counts)
    left = len(errors) - len(errors) * np.arange(STEPS) // STEPS
    means = np.cumsum(surest_first)[left - 1] / left
    return means / means[0] if means[0] > 0 else np.ones(STEPS)


def area(curve: np.ndarray) -> float:
    """The area under a curve of `sparsification`, or a difference of two, between its first and its last point."""
    return float((curve[1:] + curve[:-1]).sum() / 2 / STEPS)


def ause(errors: np.ndarray, ranks: np.ndarray) -> float:
    """Area under the sparsification error, the curve less the oracle's: 0 is the oracle's own order.

    Args:
        errors: see `sparsification`.
        ranks: see `sparsification`.
    """
    return area(sparsification(errors, ranks) - sparsification(errors, errors))
