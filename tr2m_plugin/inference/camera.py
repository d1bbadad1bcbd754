"""Cameras of pictures, and point clouds in front of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tr2m_plugin.datasets.pictures import warn_once
from tr2m_plugin.errors import InputError

ROWS = 256
"""How many rows of a picture are points in memory at once."""

FAR = 0.4
"""How far from a picture's middle a principal point may lie, 1 at the edge; half the picture's size puts it at 0.5."""


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera in pixels.

    Attributes:
        fx, fy: focal lengths.
        cx, cy: principal point, (0, 0) is the centre of the upper left pixel.
        source: where it is known from. Default: intrinsics that were given.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    source: str = "given"

    @classmethod
    def from_fov(cls, degrees: float, height: int, width: int) -> Intrinsics:
        """A camera with that horizontal field of view and its principal point in the middle of the picture.

        Raises:
            InputError: the angle is not between 0 and 180 degrees.
        """
        if not 0 < degrees < 180:
            raise InputError(f"a field of view lies between 0 and 180 degrees, not at {degrees}")
        focal = float(width / 2 / np.tan(np.radians(degrees) / 2))
        source = f"horizontal field of view of {degrees:g} degrees"
        return cls(focal, focal, (width - 1) / 2, (height - 1) / 2, source)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def check_camera(fov: float | None, intrinsics: Sequence[float] | None) -> None:
    """Raises an InputError when they cannot be a camera, whatever the picture's size."""
    if intrinsics is None:
        if fov is not None:
            Intrinsics.from_fov(_numbers([fov], "a field of view is a number of degrees")[0], 1, 1)
        return
    if fov is not None:
        raise InputError("a camera is given by its field of view or by its intrinsics: leave one of them out")
    intrinsics = _numbers(intrinsics, "intrinsics are the four numbers fx, fy, cx, cy")
    if len(intrinsics) != 4:
        raise InputError(f"intrinsics are fx, fy, cx, cy, not {len(intrinsics)} numbers")
    given = " ".join(f"{value:g}" for value in intrinsics)
    if not all(map(math.isfinite, intrinsics)) or min(intrinsics[:2]) <= 0 or min(intrinsics[2:]) < 0:
        raise InputError(f"intrinsics are fx and fy above 0, and cx and cy inside the picture, in pixels, not {given}")
    if max(intrinsics) < 10:
        raise InputError(f"intrinsics {given} are normalised: multiply fx and cx by the width, fy and cy by the height")


def _numbers(given: Iterable[Any], wanted: str) -> list[float]:
    try:
        return [float(value) for value in given]
    except (TypeError, ValueError) as error:
        raise InputError(f"{wanted}, not {given!r}") from error


def camera_of(
    size: tuple[int, ...], fov: float | None = None, intrinsics: Sequence[float] | None = None
) -> Intrinsics | None:
    """The camera of a picture of that height and width, if anything is known of it.

    A principal point far from the middle is warned of, as intrinsics of another size have it.

    Raises:
        InputError: the intrinsics are not a camera's, are normalised, or belong to a picture of another size; or a
            field of view is given too.
    """
    check_camera(fov, intrinsics)
    if intrinsics is None:
        return None if fov is None else Intrinsics.from_fov(float(fov), size[0], size[1])
    fx, fy, cx, cy = map(float, intrinsics)
    camera = Intrinsics(fx, fy, cx, cy)
    if camera.cx > size[1] - 0.5 or camera.cy > size[0] - 0.5:
        raise InputError(
            f"the principal point {camera.cx:g}, {camera.cy:g} lies outside the picture of {size[1]} × {size[0]}: "
            "intrinsics are those of the picture at its own size"
        )
    if max(abs(2 * camera.cx / size[1] - 1), abs(2 * camera.cy / size[0] - 1)) > FAR:
        warn_once(
            f"the principal point {camera.cx:g}, {camera.cy:g} lies far from the middle of the picture of {size[1]} × "
            f"{size[0]}: are the intrinsics those of the picture, upright and at its own size?"
        )
    return camera


def back_project(depth: np.ndarray, camera: Intrinsics, first_row: int = 0) -> np.ndarray:
    """Points (H, W, 3) of planar depth (H, W): x to the right, y down, z forward, in the depth's unit.

    Args:
        depth: a picture's depth, or some rows of it.
        camera: camera of the picture.
        first_row: number of the first of these rows. Default: 0.
    """
    v, u = np.indices(depth.shape, dtype=np.float32)
    v += first_row
    return np.stack([(u - camera.cx) / camera.fx * depth, (v - camera.cy) / camera.fy * depth, depth], -1)


def write_ply(path: Path, depth: np.ndarray, colors: np.ndarray, camera: Intrinsics, unit: str) -> None:
    """Writes a picture's coloured points as a binary PLY file, some rows at a time.

    Args:
        path: the file.
        depth: (H, W).
        colors: (H, W, 3) uint8 RGB.
        camera: camera of the picture.
        unit: unit of depth, which the header names beside the axes.
    """
    names = [*((name, "f4") for name in "xyz"), *((name, "u1") for name in ("red", "green", "blue"))]
    kinds = {"f4": "float", "u1": "uchar"}
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"comment unit: {unit}; x to the right, y down, z forward from the camera",
        f"element vertex {depth.size}",
        *(f"property {kinds[kind]} {name}" for name, kind in names),
        "end_header\n",
    ]
    layout = np.dtype([(name, f"<{kind}") for name, kind in names])

    def parts() -> Iterator[np.ndarray]:
        for row in range(0, len(depth), ROWS):
            points = back_project(depth[row : row + ROWS], camera, row).reshape(-1, 3)
            pixels = colors[row : row + ROWS].reshape(-1, 3)
            part = np.empty(len(points), layout)
            for number, (name, _) in enumerate(names):
                part[name] = points[:, number] if number < 3 else pixels[:, number - 3]
            yield part

    with path.open("wb") as file:
        file.write("\n".join(header).encode())
        file.writelines(part.tobytes() for part in parts())
