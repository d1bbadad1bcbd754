"""Pictures of where rescaling maps mend relative depth that one scale and shift cannot, as the paper's Figure 4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from tr2m_plugin.files import write_whole
from tr2m_plugin.visualization.depth import (
    DEPTH_COLORS,
    ERROR_COLORS,
    abs_rel_map,
    colorize,
    colorize_depth,
    enlarge,
    error_map,
    inverse_limits,
    thin,
)
from tr2m_plugin.visualization.text import write_text

BALANCE_COLORS = "coolwarm"
"""From blue, where the maps are nearer to the truth, to red, where the fit is."""

COLUMNS, WIDE, TALLEST = 5, 3.2, 5.0
"""Tiles of a line, and the width and greatest height of one in inches."""

LETTERS = 44
"""Of a small text below a tile."""


@dataclass(frozen=True)
class Correction:
    """One picture with its relative depth, aligned with the truth and rescaled by a model.

    Attributes:
        title: written at its left.
        name: name of the picture.
        text: sentence that the model was given.
        picture: (H, W, 3) uint8 RGB.
        truth: true depth that counts, (H, W), 0 = nothing.
        relative: relative depth, disparity-like, (h, w).
        scale: scale map A, (h, w).
        shift: shift map B, (h, w).
        fit: depth by one scale and shift for the whole picture, fitted to the truth, (H, W).
        depth: the model's depth, (H, W).
    """

    title: str
    name: str
    text: str
    picture: np.ndarray
    truth: np.ndarray
    relative: np.ndarray
    scale: np.ndarray
    shift: np.ndarray
    fit: np.ndarray
    depth: np.ndarray


def balance_map(depth: np.ndarray, fit: np.ndarray, truth: np.ndarray, most: float = 0.25) -> np.ndarray:
    """AbsRel of one depth minus that of another per pixel in colour: blue where the first is nearer to the truth.

    Args:
        depth: the first, (H, W).
        fit: the other, (H, W).
        truth: true depth, (H, W); 0 is no measurement. Sparse points are 3 × 3; where they meet, the reddest covers.
        most: difference of the last colours. Default: 0.25.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    return colorize(enlarge(abs_rel_map(depth, truth) - abs_rel_map(fit, truth)), -most, most, BALANCE_COLORS)


def draw_corrections(
    path: Path, examples: Sequence[Correction], unit: str, title: str, worst: float = 0.5, most: float = 0.25
) -> None:
    """Writes a picture: two lines of tiles per example, relative depth with its linear fit above, rescaled below.

    Depth has one colour scale per example, error and difference one for all.

    Args:
        path: PNG file.
        examples: at least one.
        unit: unit of depth.
        title: written above.
        worst: AbsRel of the last colour. Default: 0.5.
        most: difference of AbsRel of the last colours. Default: 0.25.
    """
    shape = examples[0].picture.shape
    height = min(WIDE * shape[0] / shape[1], TALLEST)
    size = (WIDE * COLUMNS + 1.2, 2 * (height + 0.55) * len(examples) + 0.6)
    figure = Figure(figsize=size, dpi=90, layout="constrained")
    grid = figure.subplots(2 * len(examples), COLUMNS, squeeze=False)
    for number, example in enumerate(examples):
        _draw(grid[2 * number : 2 * number + 2], example, unit, worst, most)
    half = len(grid) // 2
    for lines, colors, limits, extend, label in (
        (grid[:half], ERROR_COLORS, (0, worst), "max", "AbsRel"),
        (grid[half:], BALANCE_COLORS, (-most, most), "both", "depth − fit"),
    ):
        shown = ScalarMappable(Normalize(*limits), colormaps[colors])
        bar = figure.colorbar(shown, ax=lines, fraction=0.02, pad=0.01, aspect=25, extend=extend)
        bar.set_label(label, fontsize=9)
    write_text(figure.suptitle, title, 150, 2, fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, FigureCanvasAgg(figure).print_png)


def _draw(lines: np.ndarray, example: Correction, unit: str, worst: float, most: float) -> None:
    truth, depth, fit = example.truth, example.depth, example.fit
    near, far = inverse_limits(truth)
    counted = truth > 0
    errors = [abs_rel_map(values, truth)[counted] for values in (fit, depth)]
    fitted, ours = (f"AbsRel {error.mean():.3f}" if error.size else "no truth" for error in errors)
    nearer = f"this depth is nearer in {(errors[1] < errors[0]).mean():.0%} of the pixels" if counted.any() else ""
    above = [
        ("picture", example.picture, f"{_end(example.name)}\n{example.text}"),
        ("relative depth", _spread(example.relative, f"{DEPTH_COLORS}_r"), _range(example.relative)),
        ("linear fit to the truth", colorize_depth(fit, near, far), ""),
        ("error of the fit", error_map(fit, truth, worst), fitted),
        ("truth", colorize_depth(truth, near, far), f"{near:.3g} to {far:.3g} {unit}"),
    ]
    below = [
        ("scale map A", _spread(example.scale, "viridis"), _range(example.scale)),
        ("shift map B", _spread(example.shift, "viridis"), _range(example.shift)),
        ("1 / (A · relative + B)", colorize_depth(depth, near, far), ""),
        ("error of this depth", error_map(depth, truth, worst), ours),
        ("nearer: this depth blue, the fit red", balance_map(depth, fit, truth, most), nearer),
    ]
    shape = example.picture.shape[:2]
    for axes, (head, tile, note) in zip(lines.flat, [*above, *below], strict=True):
        _show(axes, tile, head, note, shape)
    write_text(lines[0][0].set_ylabel, example.title, LETTERS, fontsize=10)


def _show(axes: Axes, tile: np.ndarray, head: str, note: str, shape: tuple[int, int]) -> None:
    rows, columns = shape
    axes.imshow(thin(tile), extent=(0, columns, rows, 0))
    axes.set(xticks=[], yticks=[])
    axes.set_title(head, fontsize=9)
    write_text(axes.set_xlabel, note, LETTERS, 3, fontsize=8)
    axes.spines[:].set_visible(False)


def _end(name: str) -> str:
    return name if len(name) <= LETTERS else f"…{name[1 - LETTERS :]}"


def _spread(values: np.ndarray, colors: str) -> np.ndarray:
    low, high = np.percentile(values, [2, 98])
    return colorize(values, float(low), float(high), colors)


def _range(values: np.ndarray) -> str:
    low, high = np.percentile(values, [2, 98])
    return f"{low:.3g} to {high:.3g}"
