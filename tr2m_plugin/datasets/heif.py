"""HEIC and AVIF: pictures that begin as videos do, and need decoders that may not be there."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tr2m_plugin.errors import require

MEDIA = b"ftyp"
"""From the fifth byte on, in HEIC, AVIF and videos; the next four name what it is of them."""

START = 12
"""Bytes that tell."""

HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"mif2", b"msf1")
HEIC_SUFFIXES, AVIF_SUFFIXES = (".heic", ".heif", ".hif"), (".avif",)
WAYS = {"HEIC": "pip install 'tr2m_plugin[heic]', or convert it to JPEG", "AVIF": "it needs Pillow 11.3 or newer"}
"""What to do where a decoder is missing."""


def is_media(start: bytes) -> bool:
    """Whether a file that begins so is HEIC, AVIF or a video."""
    return start[4:8] == MEDIA


def decoders() -> list[str]:
    """What Pillow calls its decoders of media, of those that are installed."""
    pillow: Any = require("PIL.Image", "to read pictures", "data")
    _register()
    pillow.init()
    # of the brands that both have, AVIF's decoder would raise what Pillow does not expect of HEIC
    return [name for name in ("HEIF", "AVIF") if name in pillow.OPEN]


def missing(name: str, start: bytes = b"") -> str | None:
    """What to do about a picture whose decoder is not installed; None where it is, or of other files.

    Args:
        name: of the file, whose extension counts, unless it is told by
        start: the file's first bytes. Default: not known.
    """
    suffix, brand = Path(name).suffix.lower(), start[8:START] if is_media(start) else b""
    if (brand in HEIC_BRANDS or (not start and suffix in HEIC_SUFFIXES)) and not _register():
        return WAYS["HEIC"]
    if (brand[:3] == b"avi" or (not start and suffix in AVIF_SUFFIXES)) and not _knows_avif():
        return WAYS["AVIF"]
    return None


@cache
def _register() -> bool:
    """Tells Pillow of HEIC; False where pillow-heif is not installed."""
    if find_spec("pillow_heif") is None:
        return False
    require("pillow_heif", "to read HEIC", "heic").register_heif_opener()
    return True


def _knows_avif() -> bool:
    from PIL import features

    return "avif" in features.modules and bool(features.check("avif"))
