"""Depth that is known at a few places of a picture: points in CSV files, and depth maps with holes."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tr2m_plugin.datasets.arrays import read_depth, read_stored
from tr2m_plugin.datasets.headers import same_shape
from tr2m_plugin.datasets.pictures import PAIRED, is_prediction
from tr2m_plugin.errors import InputError
from tr2m_plugin.files import read_text

COLUMNS = ("u", "v", "depth")
POINTS = ".csv"
ENDINGS = (POINTS, "_depth.png", "_depth.tif", "_depth.tiff", "_depth.npy")
"""How names of anchors' files end, after the picture's name."""


def find_anchors(folder: Path, name: str) -> Path | None:
    """The file in a folder that holds a picture's anchors; None where there is none.

    It is called like the picture, below the folder as the picture is below its own, with one of `ENDINGS`; a picture's
    name may also end with `_rgb` or `_color`, which is left out then. The first that is there counts. Depth that
    `tr2m predict` wrote is passed over.

    Args:
        folder: where the anchors are.
        name: of the picture, as `name_pictures` has it.
    """
    stems = [name, *(name.removesuffix(end) for end in PAIRED if name.endswith(end))]
    paths = [folder / f"{stem}{ending}" for stem in stems for ending in ENDINGS]
    return next((path for path in paths if os.path.isfile(path) and not is_prediction(path)), None)


def read_anchors(
    path: Path, size: tuple[int, int], scale: float | None = None, picture: str | None = None
) -> np.ndarray:
    """What a file knows of a picture's depth: u, v and depth of points, (N, 3) float64.

    Args:
        path: a CSV file whose first line names the columns u, v and depth, among others or not; or a depth map as
            `read_depth` takes it, 0 = unknown, of the picture's size or another of its shape.
        size: height and width of the picture, upright, whose pixels u and v count; see `check_points`.
        scale: factor from the numbers of a depth map to the unit of depth. Needed where they are whole.
        picture: its file, with which a depth map is turned upright. Default: none.

    Raises:
        InputError: it cannot be read, holds no points, or one that cannot be; the message names file and line.
    """
    if path.suffix.lower() == POINTS:
        return _read_points(path, size)
    if scale is None and read_stored(str(path)).dtype.kind in "iu":
        raise InputError(f"{path} has whole numbers: give the factor to the unit as --png-scale")
    return points_of_map(read_depth(str(path), scale or 1.0, picture), size, str(path))


def points_of_map(depth: np.ndarray, size: tuple[int, int], name: str) -> np.ndarray:
    """The points, (N, 3), of a depth map (h, w) with holes, in pixels of a picture of that size.

    Raises:
        InputError: the map has another shape than the picture, or no measurement.
    """
    height, width = depth.shape
    if not same_shape((height, width), size):
        raise InputError(f"{name} is {height} × {width} and its picture {size[0]} × {size[1]}: their shapes must agree")
    v, u = np.nonzero(np.isfinite(depth) & (depth > 0))
    if not len(v):
        raise InputError(f"{name} holds no depth: all of it is 0, unknown")
    return np.stack([(u + 0.5) * size[1] / width - 0.5, (v + 0.5) * size[0] / height - 0.5, depth[v, u]], 1)


def check_points(points: np.ndarray, size: tuple[int, int], rows: Sequence[str]) -> np.ndarray:
    """The points, (N, 3) float64, after a check.

    Args:
        points: u to the right and v down in pixels of the upright picture, whole numbers at the pixels' centres and
            (0, 0) at the upper left one's, and depth.
        size: height and width of the picture.
        rows: what to call each point in a message.

    Raises:
        InputError: there is none, one lies outside the picture, or its depth is not above 0; the message names it.
    """
    points = points.astype(np.float64)
    u, v = points[:, 0], points[:, 1]
    inside = (u >= -0.5) & (u < size[1] - 0.5) & (v >= -0.5) & (v < size[0] - 0.5)  # false for NaN too
    for row, within, given in zip(rows, inside, points, strict=True):
        if not within:
            raise InputError(
                f"{row}: the point {given[0]:g}, {given[1]:g} lies outside the picture of {size[1]} × {size[0]}"
            )
        if not (np.isfinite(given[2]) and given[2] > 0):
            raise InputError(f"{row}: depth must be a number above 0, not {given[2]:g}: leave out what is not known")
    return points


def _read_points(path: Path, size: tuple[int, int]) -> np.ndarray:
    try:
        cells = list(csv.reader(read_text(path).split("\n")))
    except csv.Error as error:
        raise InputError(f"{path} is no CSV file: {error}") from error
    lines = [(number, row) for number, row in enumerate(cells, 1) if any(map(str.strip, row))]
    header = [name.strip().lower() for name in lines[0][1]] if lines else []
    if any(header.count(name) != 1 for name in COLUMNS):
        raise InputError(
            f"{path}: the first line must name the columns u, v and depth once each, not {','.join(header)!r}"
        )
    if len(lines) == 1:
        raise InputError(f"{path} holds no point")
    places = [header.index(name) for name in COLUMNS]
    named = [(f"{path}, line {number}", row) for number, row in lines[1:]]
    points = [_numbers(row, places, name) for name, row in named]
    return check_points(np.array(points), size, [name for name, _ in named])


def _numbers(row: Sequence[str], places: Sequence[int], name: str) -> list[float]:
    try:
        return [float(row[place]) for place in places]
    except (ValueError, IndexError) as error:
        raise InputError(f"{name}: u, v and depth must be numbers, not {','.join(row)!r}") from error
