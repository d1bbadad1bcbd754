"""Depth of a video in colour: one range of colours for all frames, and its bar beside them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from tr2m_plugin.visualization.depth import BAR, DEPTH_COLORS, DOTS

SIDES = (480, 1920)
"""The longer side of a coloured frame has so many pixels at least and at most."""

LEAST = 160
"""Rows that a bar needs."""


class ClipColors:
    """Draws frames, even in log depth, red near and blue far, with a bar at the right.

    Args:
        near: depth of the first colour.
        far: depth of the last colour.
        unit: of both, "m" or "mm".
        size: height and width of the depth maps.
    """

    def __init__(self, near: float, far: float, unit: str, size: Sequence[int]) -> None:
        self.near, self.far = near, far
        least, most = SIDES
        factor = max(least / max(size), 1.0) if max(size) < least else min(most / max(size), 1.0)
        self._size = (max(round(size[0] * factor), 1), max(round(size[1] * factor), 1))
        self._colors = (colormaps[DEPTH_COLORS](np.arange(256))[:, :3] * 255).astype(np.uint8)
        self._frame = _with_bar(near, far, unit, self._size)

    def __call__(self, depth: np.ndarray) -> np.ndarray:
        """A frame, (H', W', 3) uint8 RGB, both sides even, as video formats want them.

        Args:
            depth: (H, W), positive.
        """
        height, width = self._size
        depth = cv2.resize(depth.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        share = np.log(np.clip(depth, self.near, self.far) / self.near) / np.log(self.far / self.near)
        top = (self._frame.shape[0] - height) // 2
        self._frame[top : top + height, :width] = self._colors[np.round(255 * share).astype(np.uint8)]
        return self._frame


def _with_bar(near: float, far: float, unit: str, size: tuple[int, int]) -> np.ndarray:
    """A white picture with a bar at the right, and place at the left for a map of that size."""
    height, width = max(size[0], LEAST), size[1] + BAR
    height, width = height + height % 2, width + width % 2
    figure = Figure(figsize=(BAR / DOTS, height / DOTS), dpi=DOTS)
    canvas = FigureCanvasAgg(figure)
    mappable = ScalarMappable(cmap=DEPTH_COLORS)
    mappable.set_clim(np.log(near), np.log(far))
    place = figure.add_axes((0.1, 16 / height, 20 / BAR, 1 - 32 / height))
    ticks = np.geomspace(near, far, 6)
    bar = figure.colorbar(mappable, cax=place, label=f"depth in {unit}", ticks=np.log(ticks))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{np.exp(value):.3g}"))
    canvas.draw()
    drawn = np.asarray(canvas.buffer_rgba())[..., :3]
    frame = np.full((height, width, 3), 255, np.uint8)
    frame[: drawn.shape[0], size[1] : size[1] + drawn.shape[1]] = drawn[:height, : width - size[1]]
    return frame
