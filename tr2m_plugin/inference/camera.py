"""Cameras of pictures: as given, from a file, or as their EXIF data say."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tr2m_plugin.datasets.arrays import picture_header
from tr2m_plugin.datasets.camera_files import read_camera
from tr2m_plugin.datasets.exif import read_focal
from tr2m_plugin.datasets.headers import FLIPPED_COLUMNS, FLIPPED_ROWS, TURNED, Header, same_shape
from tr2m_plugin.datasets.pictures import warn_once
from tr2m_plugin.errors import InputError

FAR = 0.4
"""How far from a picture's middle a principal point may lie, 1 at the edge; half the picture's size puts it at 0.5."""

EXIF = "EXIF"
"""How the source of a camera begins that a picture's EXIF data say."""

Size = tuple[int, int]
"""Height and width."""


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
    def from_focal(cls, fx: float, fy: float, size: Size, source: str) -> Intrinsics:
        """A camera with its principal point in the middle of the picture."""
        return cls(fx, fy, (size[1] - 1) / 2, (size[0] - 1) / 2, source)

    @classmethod
    def from_fov(cls, degrees: float, height: int, width: int) -> Intrinsics:
        """A camera with that horizontal field of view and its principal point in the middle of the picture.

        Raises:
            InputError: the angle is not between 0 and 180 degrees.
        """
        if not 0 < degrees < 180:
            raise InputError(f"a field of view lies between 0 and 180 degrees, not at {degrees}")
        focal = width / 2 / math.tan(math.radians(degrees) / 2)
        return cls.from_focal(focal, focal, (height, width), f"horizontal field of view of {degrees:g} degrees")

    @property
    def is_read(self) -> bool:
        """Whether nobody gave it, but the picture's EXIF data did."""
        return self.source.startswith(EXIF)

    def resized(self, before: Size, after: Size) -> Intrinsics:
        """The camera of the picture at another size: pixels' edges are scaled, not their centres."""
        if before == after:
            return self
        y, x = after[0] / before[0], after[1] / before[1]
        cx, cy = (self.cx + 0.5) * x - 0.5, (self.cy + 0.5) * y - 0.5
        source = f"{self.source}, of {before[1]} × {before[0]}"
        return Intrinsics(self.fx * x, self.fy * y, cx, cy, source)

    def turned(self, orientation: int | None, stored: Size) -> Intrinsics:
        """The camera of the picture that `turn` makes upright, from that of the pixels as they are stored."""
        found, (height, width) = self, stored
        if orientation in TURNED:
            found, height, width = Intrinsics(self.fy, self.fx, self.cy, self.cx, self.source), width, height
        if orientation in FLIPPED_ROWS:
            found = replace(found, cy=height - 1 - found.cy)
        return replace(found, cx=width - 1 - found.cx) if orientation in FLIPPED_COLUMNS else found

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class Cameras:
    """The cameras of pictures.

    Args:
        fov: horizontal field of view of each picture, upright, in degrees. Default: unknown.
        intrinsics: fx, fy, cx, cy of each picture, upright and at its own size, in pixels. Default: unknown.
        file: a camera file (see `read_camera`). It is of the pixels as the pictures' files store them, and is turned
            with them; unless only the upright picture has the shape of its size. Default: none.

    Raises:
        InputError: more than one of them is given, or one can be no camera, whatever the picture's size.
    """

    def __init__(
        self,
        fov: float | None = None,
        intrinsics: Sequence[float] | None = None,
        file: str | os.PathLike | None = None,
    ) -> None:
        if sum(given is not None for given in (fov, intrinsics, file)) > 1:
            raise InputError("a camera is given by its field of view, by its intrinsics or by a file: give one of them")
        self.fov = None if fov is None else _numbers([fov], "a field of view is a number of degrees")[0]
        if self.fov is not None:
            Intrinsics.from_fov(self.fov, 1, 1)
        self.intrinsics = None if intrinsics is None else _checked(intrinsics, "intrinsics")
        self.file = None if file is None else read_camera(Path(file))
        self.name = "" if file is None else os.fspath(file)
        if self.file is not None:
            _checked(self.file.numbers, f"{self.name}: intrinsics")

    def of(self, size: Size, source: str | os.PathLike | None = None) -> Intrinsics | None:
        """The camera of a picture: as given, else as its EXIF data say; None where nothing is known of it.

        A principal point far from the middle is warned of, as intrinsics of another size have it.

        Args:
            size: height and width of the picture, upright.
            source: its file. Default: it is an array, without EXIF data.

        Raises:
            InputError: intrinsics or a file belong to a picture of another size.
        """
        if self.fov is not None:
            return Intrinsics.from_fov(self.fov, *size)
        header = None if source is None else picture_header(os.fspath(source))
        if self.intrinsics is not None:
            return _inside(Intrinsics(*self.intrinsics), size)
        if self.file is not None:
            return _inside(self._from_file(size, header), size)
        found = None if source is None or header is None else read_focal(source, header)
        if found is None or header is None:
            return None
        return Intrinsics.from_focal(*found[:2], header.size, found[2]).turned(header.orientation, header.size)

    def _from_file(self, size: Size, header: Header | None) -> Intrinsics:
        assert self.file is not None
        camera = Intrinsics(*self.file.numbers, self.name)
        stored, orientation = (size, None) if header is None else (header.size, header.orientation)
        own = self.file.size or stored
        if same_shape(own, stored):
            return camera.resized(own, stored).turned(orientation, stored)
        if same_shape(own, size):
            return camera.resized(own, size)
        raise InputError(
            f"{self.name} is the camera of pictures of {own[1]} × {own[0]}, and this one has {size[1]} × {size[0]}, "
            "another shape: a part that was cut out has another camera"
        )


def _checked(given: Iterable[Any], what: str) -> tuple[float, float, float, float]:
    """Four numbers that can be a camera's, whatever the picture's size."""
    numbers = _numbers(given, f"{what} are the four numbers fx, fy, cx, cy")
    if len(numbers) != 4:
        raise InputError(f"{what} are fx, fy, cx, cy, not {len(numbers)} numbers")
    told = " ".join(f"{value:g}" for value in numbers)
    if not all(map(math.isfinite, numbers)) or min(numbers[:2]) <= 0 or min(numbers[2:]) < 0:
        raise InputError(f"{what} are fx and fy above 0, and cx and cy inside the picture, in pixels, not {told}")
    if max(numbers) < 10:
        raise InputError(f"{what} {told} are normalised: multiply fx and cx by the width, fy and cy by the height")
    return numbers[0], numbers[1], numbers[2], numbers[3]


def _numbers(given: Iterable[Any], wanted: str) -> list[float]:
    try:
        return [float(value) for value in given]
    except (TypeError, ValueError) as error:
        raise InputError(f"{wanted}, not {given!r}") from error


def _inside(camera: Intrinsics, size: Size) -> Intrinsics:
    """The camera, whose principal point must lie in a picture of that size, and should lie near its middle."""
    where = f"the principal point {camera.cx:g}, {camera.cy:g} lies"
    if not (-0.5 <= camera.cx <= size[1] - 0.5 and -0.5 <= camera.cy <= size[0] - 0.5):
        raise InputError(
            f"{where} outside the picture of {size[1]} × {size[0]}: intrinsics are those of the picture at its own size"
        )
    if max(abs(2 * camera.cx / size[1] - 1), abs(2 * camera.cy / size[0] - 1)) > FAR:
        warn_once(
            f"{where} far from the middle of the picture of {size[1]} × "
            f"{size[0]}: are the intrinsics those of the picture, upright and at its own size?"
        )
    return camera
