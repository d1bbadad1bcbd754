"""Depth and error in colour."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from tr2m_plugin.visualization.text import write_text

DEPTH_COLORS = "Spectral"
ERROR_COLORS = "magma"
NOTHING = (40, 40, 40)
"""Colour of pixels without a value."""

LARGEST = 2000
"""The most pixels that a side of a drawn map has."""

DOTS, MARGIN, ABOVE, BAR = 100, 8, 50, 110
"""A drawn map has so many dots per inch, and pixels around it, for the text above and for the bar at its right."""

SPARSE = 0.3
"""Share of known pixels below which a map is drawn with larger points."""


def colorize(values: np.ndarray, low: float, high: float, colors: str = DEPTH_COLORS) -> np.ndarray:
    """Maps values from `low`..`high` to colours.

    Args:
        values: (H, W); NaN and infinity get the colour of nothing.
        low: value of the first colour.
        high: value of the last colour.
        colors: name of a colour map of matplotlib. Default: Spectral, red for the first value.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    known = np.isfinite(values)
    share = (np.where(known, values, low) - low) / max(high - low, 1e-12)
    picture = (colormaps[colors](np.clip(share, 0, 1))[..., :3] * 255).astype(np.uint8)
    picture[~known] = NOTHING
    return picture


def inverse_limits(*depths: np.ndarray) -> tuple[float, float]:
    """The nearest and the farthest depth worth a colour: the 2nd and 98th percentile of all positive values."""
    values = np.concatenate([d[np.isfinite(d) & (d > 0)].ravel() for d in depths])
    if not values.size:
        return 1.0, 2.0
    near, far = np.percentile(values, [2, 98])
    return float(near), float(max(far, near * 1.01))


def colorize_depth(depth: np.ndarray, near: float, far: float) -> np.ndarray:
    """Depth in colour, even in log depth, red near and blue far; zero is no measurement. (H, W, 3) uint8 RGB.

    Each point of a sparse map is 3 × 3; where they meet, the nearer covers.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(depth > 0, np.log(depth), np.nan)
    return colorize(-enlarge(-logs), np.log(near), np.log(far))


def enlarge(values: np.ndarray) -> np.ndarray:
    """Values with each point of a sparse map 3 × 3, where the larger covers; NaN is no point."""
    known = ~np.isnan(values)
    if known.mean() >= SPARSE:
        return values
    filled = np.where(known, values, -np.inf).astype(np.float32)
    largest = cv2.dilate(filled, np.ones((3, 3)), borderType=cv2.BORDER_REPLICATE)
    return np.where(np.isfinite(largest), largest, np.nan)


def error_map(pred: np.ndarray, truth: np.ndarray, worst: float = 0.5) -> np.ndarray:
    """AbsRel per pixel in colour, dark for none and bright from `worst` on (paper, Figure 3); sparse points are 3 × 3.

    Args:
        pred: predicted depth, (H, W).
        truth: true depth, (H, W); zero is no measurement.
        worst: error of the last colour. Default: 0.5.
    """
    return colorize(enlarge(abs_rel_map(pred, truth)), 0, worst, ERROR_COLORS)


def abs_rel_map(pred: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """AbsRel per pixel, (H, W); NaN where the truth is 0."""
    return np.where(truth > 0, np.abs(pred - truth) / np.where(truth > 0, truth, 1), np.nan)


def thin(pixels: np.ndarray) -> np.ndarray:
    """Every n-th pixel of (H, W) or (H, W, C), so that no side has more than `LARGEST`; smaller ones are left."""
    step = -(-max(pixels.shape[:2]) // LARGEST)
    return pixels[::step, ::step]


def depth_with_bar(depth: np.ndarray, unit: str, title: str = "") -> np.ndarray:
    """A depth map in colour with a bar in its unit.

    Args:
        depth: (H, W), positive.
        unit: what the bar counts, "m" or "mm".
        title: written above in two lines, cut where it is longer. Default: none.

    Returns:
        A picture about as large as the depth map, at least 600 pixels wide unless it is a tall column, and at most
        `LARGEST` and margins on a side, (H', W', 3) uint8 RGB. Its size does not depend on the title.
    """
    depth = thin(depth)
    ticks = np.geomspace(*inverse_limits(depth), 6)
    with np.errstate(divide="ignore"):
        return _with_bar(np.log(depth), np.log(ticks), np.exp, DEPTH_COLORS, f"depth in {unit}", title)


def spread_with_bar(spread: np.ndarray, title: str = "") -> np.ndarray:
    """How far predictions lie apart (see `Spread`) in colour, dark where they agree, with a bar.

    Args:
        spread: standard deviation of log depth, (H, W), 0 or more.
        title: see `depth_with_bar`, as is the picture.
    """
    spread = thin(spread)
    most = max(float(np.percentile(spread, 98)), 1e-3)
    label = "standard deviation of log depth in %"  # three digits, for which there is room
    return _with_bar(spread, np.linspace(0, most, 6), lambda value: 100 * value, ERROR_COLORS, label, title)


def _with_bar(
    values: np.ndarray, ticks: np.ndarray, read: Callable[[float], float], colors: str, label: str, title: str
) -> np.ndarray:
    """A map (H, W) in colours between the first and the last tick, and a bar with what is `read` of its ticks."""
    rows, columns = values.shape
    scale = min(max(600 / columns, 1), LARGEST / max(rows, columns))
    height, width = max(round(rows * scale), 1), max(round(columns * scale), 1)
    whole_width, whole_height = max(width, 200) + BAR, max(height, 150) + ABOVE
    figure = Figure(figsize=(whole_width / DOTS, whole_height / DOTS), dpi=DOTS)
    canvas = FigureCanvasAgg(figure)
    bottom = (whole_height - ABOVE - height) / 2 + MARGIN
    axes = figure.add_axes((MARGIN / whole_width, bottom / whole_height, width / whole_width, height / whole_height))
    shown = axes.imshow(values, vmin=ticks[0], vmax=ticks[-1], cmap=colors, aspect="auto")
    axes.set_axis_off()
    if title:
        write_text(
            partial(figure.text, 0.5, 1 - 4 / whole_height),
            title,
            whole_width // 8,
            2,
            ha="center",
            va="top",
            fontsize=9,
        )
    tall = whole_height - ABOVE - 2 * MARGIN
    place = ((width + 2 * MARGIN) / whole_width, 2 * MARGIN / whole_height, 20 / whole_width, tall / whole_height)
    bar = figure.colorbar(shown, cax=figure.add_axes(place), label=label, ticks=ticks)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{read(value):.3g}"))
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
