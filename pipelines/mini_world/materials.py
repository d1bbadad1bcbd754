"""What surfaces look like: a colour with a procedural pattern over it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Color = tuple[float, float, float]
Pattern = Literal["plain", "checks", "stripes", "waves"]
PATTERNS: tuple[Pattern, ...] = ("plain", "checks", "stripes", "waves")


@dataclass(frozen=True)
class Material:
    """How a surface looks.

    Args:
        color: RGB in 0..1.
        pattern: the texture laid over it. Default: plain.
        frequency: frequency of the pattern, in radians per world unit.
        contrast: amplitude of the pattern as a share of the colour.
    """

    color: Color
    pattern: Pattern = "plain"
    frequency: float = 5.0
    contrast: float = 0.1


def vary(rng: np.random.Generator, color: Color, amount: float = 0.1) -> Color:
    """A colour near the given one: each channel moves by at most `amount`."""
    r, g, b = np.clip(np.array(color) + rng.uniform(-amount, amount, 3), 0.05, 0.98)
    return float(r), float(g), float(b)
