"""Pictures of what a method gets right and wrong, as the paper's Figures 3 and 7."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from tr2m_plugin.files import write_whole
from tr2m_plugin.visualization.depth import ERROR_COLORS, colorize_depth, error_map, inverse_limits, thin
from tr2m_plugin.visualization.text import write_text

LONGEST = 40
"""Letters that fit below a picture."""
TALLEST = 6.0
"""Height of a picture in inches from which on it gets narrower instead."""


@dataclass(frozen=True)
class Example:
    """One picture with what methods say of it.

    Attributes:
        title: written at its left.
        name: written below, its end where it is long.
        picture: (H, W, 3) uint8 RGB.
        truth: true depth that counts, (H, W), 0 = nothing.
        depths: predicted depth by method, at the truth's size.
        abs_rel: AbsRel by method; None where it was not measured.
    """

    title: str
    name: str
    picture: np.ndarray
    truth: np.ndarray
    depths: Mapping[str, np.ndarray]
    abs_rel: Mapping[str, float | None]


def draw_errors(path: Path, examples: Sequence[Example], unit: str, title: str, worst: float = 0.5) -> None:
    """Writes a picture: per example the picture, its truth, and each method's depth and AbsRel per pixel.

    Depth has one colour scale per example, error one for all.

    Args:
        path: PNG file.
        examples: at least one.
        unit: unit of depth.
        title: written above.
        worst: AbsRel of the last colour. Default: 0.5.
    """
    methods = list(examples[0].depths)
    columns = 2 + 2 * len(methods)
    shape = examples[0].picture.shape
    width, height = 2.4, min(2.4 * shape[0] / shape[1], TALLEST)
    figure = Figure(figsize=(width * columns + 1, (height + 0.35) * len(examples) + 0.6), dpi=90, layout="constrained")
    grid = figure.subplots(len(examples), columns, squeeze=False)
    for line, example in zip(grid, examples, strict=True):
        near, far = inverse_limits(example.truth)
        tiles = [example.picture, colorize_depth(example.truth, near, far)]
        notes = [_short(example.name), f"{near:.2g} to {far:.2g} {unit}"]
        for method in methods:
            depth = example.depths[method]
            tiles += [colorize_depth(depth, near, far), error_map(depth, example.truth, worst)]
            value = example.abs_rel[method]
            notes += ["", "not measured" if value is None else f"AbsRel {value:.3f}"]
        for axes, tile, note in zip(line, tiles, notes, strict=True):
            axes.imshow(thin(tile), aspect="auto" if tile.shape[:2] != shape[:2] else "equal")
            axes.set(xticks=[], yticks=[])
            write_text(axes.set_xlabel, note, LONGEST, fontsize=8)
            axes.spines[:].set_visible(False)
        write_text(line[0].set_ylabel, example.title, LONGEST, fontsize=9)
    heads = ["picture", "truth", *(head for method in methods for head in (method, "error"))]
    for axes, head in zip(grid[0], heads, strict=True):
        write_text(axes.set_title, head, LONGEST - 5, 3, fontsize=9)
    shown = ScalarMappable(Normalize(0, worst), colormaps[ERROR_COLORS])
    bar = figure.colorbar(shown, ax=grid, fraction=0.02, extend="max")
    bar.set_label("AbsRel per pixel", fontsize=8)
    write_text(figure.suptitle, title, 15 * columns, 3, fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, FigureCanvasAgg(figure).print_png)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"…{name[1 - LONGEST :]}"
