"""Decoding the files of pictures and depth maps: whole, of a bearable size, and turned upright."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tr2m_plugin.datasets.colors import to_rgb
from tr2m_plugin.datasets.headers import (
    ORIENTATION,
    Header,
    check_dimensions,
    is_planar,
    open_picture,
    read_header,
    turn,
)
from tr2m_plugin.datasets.heif import is_media, missing
from tr2m_plugin.errors import InputError, require
from tr2m_plugin.files import file_size, reading
from tr2m_plugin.warn import warn_once

JPEG_START, JPEG_END, JPEG_SCAN = b"\xff\xd8", b"\xff\xd9", 0xDA
JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""What data never hold: in them 0 follows 255, or a mark to begin anew at."""

JPEG_SEGMENTS = (0xC4, *range(0xDA, 0xDE), *range(0xE0, 0xF0), 0xFE)
"""What may stand between the scans of a JPEG."""

PNG_START, PNG_BITS, PNG_PIXELS = b"\x89PNG", b"sBIT", b"IDAT"
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
RARE = "its compression or layout is a rare one: save it as PNG"
MAX_BYTES = 2_000_000_000
GREY = 128
"""What decoders of JPEG paint where they have no data."""

ZEROS = bytes(32)
"""So many are rare in the data of a JPEG, and common where a disk or a download lost a part."""

BIT_DEPTHS = (8, 10, 12, 14, 16)
"""How many bits sensors give, whose numbers come in 16 bits."""

HINTS = {
    "convert it to JPEG": (".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"),
    "a video: predict it by itself": (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv"),
}
"""What to do with files that are not read, by their extensions."""


def hint_of(source: str) -> str | None:
    """What to do with a file of that extension, which is not read; None where it may be a picture."""
    suffix = Path(source).suffix.lower()
    return missing(source) or next((hint for hint, suffixes in HINTS.items() if suffix in suffixes), None)


def read_content(source: str, kind: str, deep: bool = True) -> tuple[Header, bytes]:
    """What a file says of itself, after a check, and its content.

    Args:
        source: the file.
        kind: what it should be, for messages.
        deep: whether it may have one channel of more than 8 bits. Default: True.

    Raises:
        InputError: it is missing, cannot be read, is no regular file, is too large, is cut off or is not that kind.
    """
    if file_size(source) > MAX_BYTES:
        raise InputError(f"{source} has more than {MAX_BYTES // 10**9} GB: is it a {kind}?")
    header = read_header(source)
    if header is not None:
        check_dimensions(*header.size, source)
        if header.deep and not deep:
            raise InputError(f"{source} looks like a depth map (more than 8 bits in one channel), not like a {kind}")
        if header.frames > 1:
            warn_once(f"{source} holds {header.frames} pictures: the first is taken")
    with reading(source):
        content = Path(source).read_bytes()
    if header is None:
        _jpeg_data(source, content)
        raise InputError(f"{source} is not a {kind} that can be read{_why(source, content)}")
    return header, content


def _why(source: str, content: bytes) -> str:
    """Why a file cannot be read, behind a colon; nothing where nobody knows."""
    hint, line = missing(source, content) or hint_of(source), content[:200].partition(b"\n")[0].strip()
    if hint is None and not content:
        hint = "it is empty"
    elif hint is None and is_media(content):
        hint = "is it damaged, or a video?"
    elif hint is None and line and line.isascii() and line.decode().isprintable():
        hint = f"it is text and begins with {line[:40].decode()!r}"
    return f": {hint}" if hint else ""


def decode(source: str, header: Header, content: bytes, flags: int, kind: str) -> np.ndarray:
    """A file's pixels as `cv2.imdecode` has them but turned upright.

    Args:
        source: the file.
        header: as `read_content` gives it, as is
        content: the file's.
        flags: flags of `cv2.imdecode`.
        kind: what it should be, for messages.

    Raises:
        InputError: it is damaged, or nothing that OpenCV decodes.
    """
    tiff = content.startswith(TIFF_STARTS)
    if not header.by_opencv and (tiff or is_media(content)):
        raise InputError(f"{source} is not a {kind} that can be read: {RARE}")
    data = _jpeg_data(source, content)
    pixels = decode_bytes(content, flags)
    if pixels is None:
        raise InputError(f"{source} is not a {kind} that can be read: is it damaged?")
    fault = _damage(source, content) if data is None else _misfit(content, *data, pixels, flags)
    if fault is not None:
        raise InputError(f"{source} is damaged ({fault}): copy or download it again")
    # of TIFF, OpenCV turns everything itself
    return pixels if tiff else turn(pixels, header.orientation)


def decode_with_pillow(source: str, header: Header, content: bytes) -> np.ndarray:
    """A picture as (H, W, 3) uint8 RGB, upright, of what OpenCV does not decode, or not as it is meant.

    Args:
        source: the file.
        header: see `decode`, as for the next.
        content: the file's.

    Raises:
        InputError: it is damaged, or of a kind that Pillow does not decode either.
    """
    pillow: Any = require("PIL.Image", "to read pictures", "data")
    _jpeg_data(source, content)
    try:
        with warnings.catch_warnings(), open_picture(source) as picture:
            warnings.simplefilter("ignore")
            if picture.format == "TIFF" and is_planar(picture.tag_v2):  # of which Pillow makes noise
                raise pillow.UnidentifiedImageError
            picture.load()
            turned = header.orientation
            if picture.format == "TIFF":  # which some versions of Pillow turn
                turned = picture.getexif().get(ORIENTATION)
            return turn(to_rgb(picture, source), turned)
    except pillow.UnidentifiedImageError as error:
        raise InputError(f"{source} is not a picture that can be read: {RARE}") from error
    except Exception as error:  # what a broken file makes of a decoder is anybody's guess
        rare = f"; or {RARE}" if content.startswith(TIFF_STARTS) else ""
        raise InputError(f"{source} is damaged ({error}): copy or download it again{rare}") from error


def decode_bytes(content: bytes, flags: int) -> np.ndarray | None:
    """The pixels of a file's content as it stores them (but TIFF upright); None where OpenCV reads none."""
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None


def significant_bits(pixels: np.ndarray, header: Header, content: bytes) -> int:
    """How many of 16 bits carry a picture.

    As the file says: TIFF by the largest number that it may hold, PNG by its chunk sBIT if no number is larger. Else
    the fewest of 8, 10, 12, 14 and 16 into which the largest number fits.
    """
    largest = int(pixels.max()).bit_length()
    place = content.find(PNG_BITS, 0, max(content.find(PNG_PIXELS), 0))
    said = header.bits if place < 0 or not content.startswith(PNG_START) else content[place + len(PNG_BITS)]
    if said is not None:
        return said if largest <= said <= 16 else 16
    return next(bits for bits in BIT_DEPTHS if largest <= bits)


def to_8_bits(pixels: np.ndarray, bits: int, content: bytes) -> np.ndarray:
    """Pixels of 16 bits, of which the lowest `bits` carry the picture, as uint8."""
    if bits == 16 and not content.startswith(TIFF_STARTS):
        table = np.arange(2**16) >> 8  # as OpenCV does
    else:
        table = np.minimum(np.round(np.arange(2**16) * (255 / (2**bits - 1))), 255)
    return table.astype(np.uint8)[pixels]


def floats_to_8_bits(pixels: np.ndarray, source: str) -> np.ndarray:
    """Pixels that are shares of white, 0..1, as uint8.

    Raises:
        InputError: some are others, as of light that was measured.
    """
    if not ((pixels >= 0) & (pixels <= 1)).all():
        raise InputError(f"{source} is a picture of {pixels.dtype} beyond 0..1: convert it to 8 bits")
    return np.round(pixels * 255).astype(np.uint8)


def _jpeg_data(source: str, content: bytes) -> tuple[int, int] | None:
    """Where the data of a JPEG begin and end; None of what is no JPEG or has no pixels.

    Raises:
        InputError: no end is marked, or what stands between the data is no part of a JPEG.
    """
    place, begin = len(JPEG_START), None
    # over whole segments, since an embedded thumbnail has data and an end of its own
    while content.startswith(JPEG_START) and (found := JPEG_MARKER.search(content, place)):
        place, marker = found.end(), content[found.end() - 1]
        if begin is not None and marker == JPEG_END[1]:
            return begin, found.start()
        if begin is not None and marker not in JPEG_SEGMENTS:
            raise InputError(f"{source} is damaged (its data are broken): copy or download it again")
        place += int.from_bytes(content[place : place + 2], "big")
        begin = place if begin is None and marker == JPEG_SCAN else begin
    if begin is not None:  # decoders may fill up the rest with grey
        raise InputError(f"{source} is cut off: the JPEG has no end; copy or download it again")
    return None


def _misfit(content: bytes, begin: int, end: int, pixels: np.ndarray, flags: int) -> str | None:
    """Whether a JPEG has less or more data than pixels, which decoders pass over; None where they fit.

    Where data lack, decoders paint grey. A grey corner may be the picture's own: then more data change nothing. Where
    a part was lost to zeros, data are left over: then less of them change nothing, as they would in a whole file.
    """
    if (pixels[-1, -8:] == GREY).all():
        more = decode_bytes(content[:end] + b"\x5a\xa5\x33" * 64 + content[end:], flags)
        whole = more is not None and np.array_equal(more, pixels)
        return None if whole else "its data end before its pixels"
    if content.find(ZEROS, begin, end) < 0:
        return None
    less = decode_bytes(content[:end].rstrip(b"\0")[: -len(ZEROS)] + content[end:], flags)
    return "its pixels end before its data" if less is not None and np.array_equal(less, pixels) else None


def _damage(source: str, content: bytes) -> str | None:
    """What is wrong with a PNG or TIFF although OpenCV decoded it; None where nothing is."""
    if not content.startswith((PNG_START, *TIFF_STARTS)):
        return None
    pillow: Any = require("PIL.Image", "to read the sizes of pictures", "data")
    try:
        with warnings.catch_warnings(), pillow.open(source) as picture:
            warnings.simplefilter("ignore")
            picture.load() if content.startswith(TIFF_STARTS) else picture.verify()  # of PNG the checksums
    except pillow.UnidentifiedImageError:  # a TIFF of numbers that Pillow does not know
        return None
    except Exception as error:  # what a broken file makes of a decoder is anybody's guess
        return str(error)
    return None
