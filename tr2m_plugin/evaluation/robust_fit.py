"""Depth brought to what is known at a few places, some of which may be wrong."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from tr2m_plugin.evaluation.alignment import inverse, linear_fit

SHIFT_FROM = 20
"""From so many points on a shift is fitted too; with fewer, scale alone is nearer to the truth of photographs."""

SPREAD = 1.25
"""Points say nothing of a shift unless their predicted depths differ by this factor, as those of one wall do not."""

TOLERANCE = 1.5
"""A point is an inlier where known and fitted depth differ by less than this factor."""

REACH = 2
"""A shift makes the farthest depth at most so many times that of scale alone, and leaves at least that part of its
scale: a scene is neither sent to infinity nor flattened to a wall."""

PAIRS, SCORED = 1000, 1000
"""The most lines through two points that are tried, and the most points by which they are compared."""


@dataclass(frozen=True)
class RobustFit:
    """Scale and shift of inverse depth, and how well they suit what is known.

    Attributes:
        scale: factor of inverse depth.
        shift: what is added; 0 with fewer than `SHIFT_FROM` points, or where they lie at one depth (`SPREAD`).
        points: how many points were known.
        inliers: share of them that the fit meets within the factor `TOLERANCE`.
        residual: median of |fitted depth / known depth - 1| over all of them.
    """

    scale: float
    shift: float
    points: int
    inliers: float
    residual: float


def fit_robustly(depth: np.ndarray, known: np.ndarray, farthest: float) -> RobustFit:
    """Scale and shift of inverse depth with the least mean |log(fitted depth / known depth)|.

    With scale alone that is the median of the ratios. Else the best is taken of scale alone, least squares
    (`linear_fit`) and lines through two points each: all pairs, or `PAIRS` of them, the same at every call. Lines
    count within `REACH`.

    Args:
        depth: predicted depth at the points, (N,), above 0, with N of 1 at least.
        known: depth at the points in the same unit, (N,), above 0.
        farthest: the largest depth of the whole prediction.
    """
    x, y = (inverse(values.astype(np.float64)) for values in (depth, known))
    scale = float(np.exp(np.median(np.log(y / x))))
    lines = np.array([[scale, 0.0]])
    if len(x) >= SHIFT_FROM and depth.max() >= SPREAD * depth.min():
        tried = np.concatenate([lines, _lines(x, y), [linear_fit(x, known, np.ones(len(x), bool))]])
        possible = (tried[:, 0] >= scale / REACH) & (tried @ [1 / farthest, 1] >= scale / farthest / REACH)
        lines = np.concatenate([lines, tried[possible]])
    few = np.linspace(0, len(x) - 1, min(len(x), SCORED)).astype(int)
    costs = np.abs(_log_ratios(lines, x[few], y[few])).mean(1)
    best = lines[np.argmin(costs)]
    errors = _log_ratios(best[None], x, y)[0]
    inliers, residual = np.mean(np.abs(errors) < np.log(TOLERANCE)), np.median(np.abs(np.expm1(errors)))
    return RobustFit(float(best[0]), float(best[1]), len(x), float(inliers), float(residual))


def _lines(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Scale and shift, (K, 2), of lines through pairs of points; a pair of one x has none."""
    count, rng = len(x), np.random.default_rng(0)
    pairs = rng.integers(0, count, (PAIRS, 2))
    if count * (count - 1) // 2 <= PAIRS:
        pairs = np.array(list(combinations(range(count), 2)))
    first, second = pairs[x[pairs[:, 0]] != x[pairs[:, 1]]].T
    scale = (y[second] - y[first]) / (x[second] - x[first])
    return np.stack([scale, y[first] - scale * x[first]], 1)


def _log_ratios(lines: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Logarithm of fitted over known depth, (K, N), of K lines at N points; what lies behind the camera is infinite."""
    fitted = lines[:, :1] * x + lines[:, 1:]
    return np.log(y / np.where(fitted > 0, fitted, np.finfo(np.float64).tiny))
