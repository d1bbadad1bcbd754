"""What the file of a picture or a depth map says of itself before it is decoded: size, kind, and which way is up."""

from __future__ import annotations

import os
import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from tr2m_plugin.datasets.colors import TRANSPARENT
from tr2m_plugin.datasets.heif import START, decoders, is_media
from tr2m_plugin.errors import InputError, require

MAX_PIXELS, LIMIT = 120_000_000, "TR2M_MAX_PIXELS"
"""The most pixels that a file may have, and the environment variable that sets another number."""

MAX_RATIO = 50
"""How many times longer than the other a picture's side may be."""

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "DIB", "TIFF", "WEBP", "JPEG2000")
ANIMATED = ("GIF", "PNG", "WEBP", "TIFF", "HEIF", "AVIF")
BY_PILLOW = ("GIF", "HEIF", "AVIF")
"""What OpenCV does not decode, or some versions of it."""

DEPTH_MODES = ("I", "F")
"""What Pillow calls one channel of more than 8 bits begins with one of these."""

ORIENTATION, ROWS, COLUMNS, CHANNELS, LARGEST = 274, 257, 256, 277, 281
BITS, COMPRESSION, COLOURS, PLANES = 258, 259, 262, 284
"""Tags of TIFF; the first is EXIF's too."""

COMPRESSED, COLOURED = (1, 2, 3, 4, 5, 8, 32773, 32946), (0, 1, 2, 3)
"""Of TIFF, what every OpenCV decodes: CCITT's, LZW, deflate and PackBits; grey, RGB and palettes. Of others it may give
noise without a word."""

TURNED, FLIPPED_ROWS, FLIPPED_COLUMNS = (5, 6, 7, 8), (3, 4, 7, 8), (2, 3, 6, 7)
"""Orientations by what `turn` does."""


@dataclass(frozen=True)
class Header:
    """What a file says of itself.

    Attributes:
        size: height and width of the pixels as they are stored.
        orientation: how EXIF says that they are to be turned, 1 to 8; None where the file does not say.
        deep: whether it has one channel of more than 8 bits, as depth maps have.
        bits: how many of 16 bits carry the picture; None where the file does not say.
        frames: how many pictures it holds.
        alpha: whether some of it is transparent.
        profile: ICC profile of its colours; None where there is none.
        by_opencv: whether OpenCV decodes its numbers.
        plain: whether these are what is seen, but for profile, orientation and an alpha channel of 16 bits.
    """

    size: tuple[int, int]
    orientation: int | None = None
    deep: bool = False
    bits: int | None = None
    frames: int = 1
    alpha: bool = False
    profile: bytes | None = None
    by_opencv: bool = True
    plain: bool = True

    @property
    def upright(self) -> tuple[int, int]:
        """Height and width of the picture when it is turned upright."""
        return (self.size[1], self.size[0]) if self.orientation in TURNED else self.size


def max_pixels() -> int:
    """The most pixels that a file may have: 120 million, or what the environment says.

    Raises:
        InputError: it says no number above 0.
    """
    given = os.environ.get(LIMIT, str(MAX_PIXELS))
    if not given.isdecimal() or int(given) == 0:
        raise InputError(f"{LIMIT} must be a whole number above 0, not {given!r}")
    return int(given)


def check_dimensions(height: int, width: int, source: str | os.PathLike) -> None:
    """Raises an InputError that names a picture of too many pixels, or with a side more than 50 times the other."""
    limit = max_pixels()
    if height * width > limit:
        raise InputError(
            f"{source} has {width} × {height} pixels, more than {limit:,}: make it smaller, or set {LIMIT}"
        )
    if max(height, width) > MAX_RATIO * min(height, width):
        raise InputError(f"{source} has {width} × {height} pixels: a side is more than {MAX_RATIO} times the other")


def same_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two sizes, height and width, differ by a factor alone, within 1 %."""
    return abs(one[0] * other[1] / (one[1] * other[0]) - 1) < 0.01


def open_picture(source: str | os.PathLike) -> Any:
    """Pillow's picture of a file, which is not decoded yet.

    Raises:
        Exception: it is no picture of the formats that are read; a broken file may raise anything.
    """
    pillow: Any = require("PIL.Image", "to read the sizes of pictures", "data")
    try:
        return pillow.open(source, formats=FORMATS)
    except pillow.UnidentifiedImageError:
        with open(source, "rb") as file:
            if not is_media(file.read(START)):
                raise
    return pillow.open(source, formats=decoders())


def read_header(source: str | os.PathLike) -> Header | None:
    """What a file says of itself; None where it is no picture, or none that tells.

    Args:
        source: a regular file.

    Raises:
        InputError: it has more than twice as many pixels as it may.
    """
    pillow: Any = require("PIL.Image", "to read the sizes of pictures", "data")
    limit = max_pixels()
    if pillow.MAX_IMAGE_PIXELS is not None:  # Pillow itself refuses twice as many, and is not told otherwise
        pillow.MAX_IMAGE_PIXELS = max(pillow.MAX_IMAGE_PIXELS, limit)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_picture(source) as picture:
                return _header(picture, pillow.Exif())
    except pillow.DecompressionBombError as error:
        raise InputError(f"{source} has more than {2 * limit:,} pixels: make it smaller, or set {LIMIT}") from error
    except Exception:  # what a broken file makes of a decoder is anybody's guess
        return _tiff_header(source)


def _tiff_header(source: str | os.PathLike) -> Header | None:
    """The header of a TIFF whose numbers Pillow does not know, such as those of 64 bits; None of any other file."""
    tiff: Any = require("PIL.TiffImagePlugin", "to read the sizes of pictures", "data")
    try:
        with open(source, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tags = tiff.ImageFileDirectory_v2(file.read(8))
            file.seek(tags.next)
            tags.load(file)
        size, deep = (int(tags[ROWS]), int(tags[COLUMNS])), tags.get(CHANNELS, 1) == 1
        return Header(size, tags.get(ORIENTATION), deep, by_opencv=_is_common(tags))
    except Exception:  # as above
        return None


def is_planar(tags: Any) -> bool:
    """Whether a TIFF with such tags has channels of more than 8 bits, one after another."""
    return tags.get(CHANNELS, 1) > 1 and tags.get(PLANES, 1) != 1 and int(np.max(tags.get(BITS, 1))) > 8


def _is_common(tags: Any) -> bool:
    """Whether every OpenCV decodes a TIFF with such tags."""
    common = tags.get(COMPRESSION, 1) in COMPRESSED and tags.get(COLOURS) in COLOURED
    return common and not is_planar(tags)


def _header(picture: Any, exif: Any) -> Header:
    """The header of a picture that Pillow has opened and not decoded."""
    (width, height), largest, opencv = picture.size, None, picture.format not in BY_PILLOW
    deep = picture.mode.startswith(DEPTH_MODES)
    alpha = picture.mode in TRANSPARENT or ("transparency" in picture.info and not deep)
    profile = picture.info.get("icc_profile") or None
    if picture.format == "TIFF":
        # some versions of Pillow have turned the size already
        orientation, height, width, largest = (picture.tag_v2.get(tag) for tag in (ORIENTATION, ROWS, COLUMNS, LARGEST))
        opencv = _is_common(picture.tag_v2)
    else:
        with suppress(Exception):  # broken EXIF data say nothing
            exif.load(picture.info.get("exif"))  # `getexif` would decode a PNG
        orientation = exif.get(ORIENTATION)
    return Header(
        (height, width),
        orientation if orientation in range(1, 9) else None,
        deep,
        None if largest is None else int(np.max(largest)).bit_length(),
        getattr(picture, "n_frames", 1) if picture.format in ANIMATED else 1,
        alpha,
        profile,
        opencv,
        # Pillow keeps 8 of 16 bits, and OpenCV no inks
        (not alpha or _is_wide(picture)) and not (profile and picture.mode == "CMYK"),
    )


def _is_wide(picture: Any) -> bool:
    """Whether a PNG has 16 bits in each of four channels."""
    return picture.format == "PNG" and picture.mode == "RGBA" and ";16" in str(picture.tile[:1])


def turn(pixels: np.ndarray, orientation: int | None) -> np.ndarray:
    """Pixels, (H, W) or (H, W, C), turned upright as EXIF's orientation says; as they are without one."""
    turned = pixels.swapaxes(0, 1) if orientation in TURNED else pixels
    turned = turned[::-1] if orientation in FLIPPED_ROWS else turned
    return np.ascontiguousarray(turned[:, ::-1] if orientation in FLIPPED_COLUMNS else turned)


def turn_with(picture: Header | None, depth: np.ndarray, source: str | os.PathLike) -> np.ndarray:
    """A depth map, (H, W), as upright as its picture.

    Depth is made from the pixels that a camera stores, and its file seldom says how they are to be turned; so it is
    turned with its picture. It stays as it is where its own file has an orientation (by which it was turned when it
    was read), or where only so it has the shape of the upright picture.

    Args:
        picture: header of the picture's file; None leaves depth as it is.
        depth: as `read_stored` has it.
        source: file of the depth.
    """
    if picture is None or picture.orientation in (None, 1) or picture.size != depth.shape:
        return depth
    own = read_header(source) if os.path.isfile(source) else None
    return depth if own is not None and own.orientation is not None else turn(depth, picture.orientation)
