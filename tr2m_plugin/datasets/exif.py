"""What a camera wrote into a picture's EXIF data of its lens."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping
from typing import Any

from tr2m_plugin.datasets.headers import Header, open_picture, same_shape
from tr2m_plugin.errors import require

EXIF, FOCAL, FOCAL_35, WIDTH, HEIGHT, PLANE_X, PLANE_Y, PLANE_UNIT = (
    *(0x8769, 0x920A, 0xA405),
    *(0xA002, 0xA003, 0xA20E, 0xA20F, 0xA210),
)
"""Tags of EXIF 2.32: its part of a file, focal length in mm, the same on 35 mm film, size, resolution of the sensor."""

FILM = math.hypot(36, 24)
"""Diagonal of a picture on 35 mm film in mm; CIPA DCG-001 compares diagonals."""

MILLIMETRES = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
"""Units of the sensor's resolution."""

WIDEST, LONGEST = 0.05, 100
"""Bounds of the focal length in widths of the picture: fields of view of 169 and 0.6 degrees."""


def read_focal(source: str | os.PathLike, header: Header) -> tuple[float, float, str] | None:
    """The focal lengths of a picture in pixels as they are stored, fx and fy, and where they are from.

    They are made of the focal length on 35 mm film; or of the focal length and the resolution on the sensor, which is
    that of the size that EXIF data say. A picture that was cut since, so that the two sizes differ in shape, has none.

    Args:
        source: its file.
        header: what `read_header` says of it.

    Returns:
        None where the file does not say, or says what cannot be.
    """
    tags = _read_tags(source)
    height, width = header.size
    said = int(_number(tags, HEIGHT)), int(_number(tags, WIDTH))
    if not all(said):
        said = header.size
    if not (same_shape(said, header.size) or same_shape(said, (width, height))):
        return None
    film, focal = _number(tags, FOCAL_35), _number(tags, FOCAL)
    along = _number(tags, PLANE_X), _number(tags, PLANE_Y) or _number(tags, PLANE_X)
    unit = MILLIMETRES.get(int(_number(tags, PLANE_UNIT)) or 2, 0.0)
    if film:
        fx = fy = film / FILM * math.hypot(width, height)
        why = f"EXIF: {film:g} mm on 35 mm film"
    elif focal and along[0] and unit:
        fx, fy = focal * along[0] / unit * width / said[1], focal * along[1] / unit * height / said[0]
        why = f"EXIF: {focal:g} mm and the resolution of the sensor"
    else:
        return None
    return (fx, fy, why) if WIDEST * width < min(fx, fy) and max(fx, fy) < LONGEST * width else None


def _read_tags(source: str | os.PathLike) -> Mapping[int, Any]:
    pillow: Any = require("PIL.Image", "to read the sizes of pictures", "data")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_picture(source) as picture:
                exif = picture.getexif() if picture.format == "TIFF" else pillow.Exif()
                if picture.format != "TIFF":
                    exif.load(picture.info.get("exif"))  # `getexif` would decode a PNG
                return dict(exif.get_ifd(EXIF))
    except Exception:  # broken EXIF data say nothing
        return {}


def _number(tags: Mapping[int, Any], tag: int) -> float:
    """The number of a tag above 0; 0 where there is none."""
    try:
        found = float(tags[tag])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return 0.0
    return found if 0 < found < math.inf else 0.0
