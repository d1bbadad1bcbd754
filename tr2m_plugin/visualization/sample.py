"""A picture of a dataset with its depth, what of it counts, and its descriptions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from tr2m_plugin.files import write_whole
from tr2m_plugin.replacing import PNG_MARK
from tr2m_plugin.visualization.depth import DEPTH_COLORS, colorize_depth, inverse_limits, thin
from tr2m_plugin.visualization.text import fit_text, write_text

if TYPE_CHECKING:
    from tr2m_plugin.evaluation.protocols import Protocol

WIDE = 1.8
"""Width over height from which on panels stand below each other."""
WIDTH, DOTS = 12.0, 120
"""Width of the figure in inches, and dots per inch."""
SMALL, LETTER, LINE = 9, 0.075, 0.155
"""Size of texts in points, and width of a letter and height of a line in inches."""
LETTERS, LINES = int((WIDTH - 0.3) / LETTER), 8
"""How many letters are in a line, and the most lines of a sentence."""


def draw_sample(
    path: Path,
    title: str,
    picture: np.ndarray,
    depth: np.ndarray,
    unit: str,
    protocol: Protocol,
    sentences: Sequence[tuple[str, str]] = (),
) -> None:
    """Writes a picture, its depth in colour, the depth that counts by a protocol, and the sentences below them.

    Pixels of sparse depth are drawn larger than they are.

    Args:
        path: PNG file.
        title: written above.
        picture: (H, W, 3) uint8 RGB.
        depth: (h, w), 0 = no measurement.
        unit: unit of depth, "m" or "mm".
        protocol: whose window is outlined.
        sentences: source and text of the descriptions. Default: none, which is said.
    """
    counts = protocol.valid(depth)
    lines = _lines(sentences)
    wide = picture.shape[1] / picture.shape[0] > WIDE
    rows, columns = (3, 1) if wide else (1, 3)
    panel = min((WIDTH - 1.2) / columns * picture.shape[0] / picture.shape[1], WIDTH)
    heights = (rows * (panel + 0.3) + 0.4, LINE * (len(lines) + 1))
    figure = Figure(figsize=(WIDTH, sum(heights)), dpi=DOTS, layout="constrained")
    grid = figure.add_gridspec(2, 1, height_ratios=heights)
    above, below = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
    places = above.subplots(rows, columns, squeeze=False).ravel()
    near, far = inverse_limits(depth)
    low, high = protocol.depth_range
    window = "" if protocol.crop is None else " in the window"
    shown = {
        f"picture, {_size(picture)}": picture,
        f"depth, {_size(depth)}, {(depth > 0).mean():.1%} measured": colorize_depth(depth, near, far),
        f"what counts: {low:g} to {high:g} {unit}{window}, {counts.mean():.1%}": colorize_depth(
            depth * counts, near, far
        ),
    }
    for place, (head, tile) in zip(places, shown.items(), strict=True):
        height, width = tile.shape[:2]
        place.imshow(thin(tile), extent=(-0.5, width - 0.5, height - 0.5, -0.5))
        place.set_axis_off()
        place.set_title(head, fontsize=SMALL)
    if protocol.crop is not None:
        _outline(places[2], protocol, depth.shape)
    _add_bar(above, list(places), (near, far), unit, 40 if wide else 20)
    write_text(above.suptitle, f"{title} (protocol {protocol.name})", 130, 3, fontsize=10)
    put = partial(below.text, 0.01, 1)
    write_text(put, "\n".join(lines), LETTERS, len(lines), fontsize=SMALL, va="top", family="monospace")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, partial(FigureCanvasAgg(figure).print_png, metadata=PNG_MARK))


def _add_bar(figure: SubFigure, places: Sequence[Axes], limits: tuple[float, float], unit: str, aspect: int) -> None:
    colors = ScalarMappable(LogNorm(*limits), colormaps[DEPTH_COLORS])
    bar = figure.colorbar(colors, ax=places, fraction=0.03, pad=0.01, aspect=aspect)
    bar.set_label(f"depth in {unit}", fontsize=SMALL)
    bar.ax.yaxis.set_major_locator(FixedLocator(np.geomspace(*limits, 6).tolist()))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    bar.ax.tick_params(labelsize=SMALL)


def _lines(sentences: Sequence[tuple[str, str]]) -> list[str]:
    """Sentences behind their source, wrapped to the figure."""
    if not sentences:
        return ["no description given"]
    margin = min(max(len(source) for source, _ in sentences) + 2, LETTERS // 3)
    lines: list[str] = []
    for source, text in sentences:
        wrapped = fit_text(text, LETTERS - margin, LINES) or [""]
        lines += [source[: margin - 2].ljust(margin) + wrapped[0], *(" " * margin + line for line in wrapped[1:])]
    return lines


def _size(array: np.ndarray) -> str:
    return f"{array.shape[0]} × {array.shape[1]}"


def _outline(axes: Axes, protocol: Protocol, size: tuple[int, int]) -> None:
    rows, columns = protocol.window(size)
    (top, bottom, _), (left, right, _) = rows.indices(size[0]), columns.indices(size[1])
    corner = (left - 0.5, top - 0.5)
    axes.add_patch(Rectangle(corner, right - left, bottom - top, fill=False, edgecolor="white", linewidth=1))
