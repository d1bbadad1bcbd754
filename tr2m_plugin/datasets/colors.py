"""Colours as the files of pictures mean them: of their ICC profile, of inks, and seen through what is transparent."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from tr2m_plugin.errors import require
from tr2m_plugin.warn import warn_once

WHITE = 255
"""What lies behind transparent pixels, as in most viewers."""

SAME = 2
"""By how many of 256 steps colours may differ between a profile and sRGB that are the same."""

SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""What Pillow calls pixels of which a profile is, by the profile's word."""

TRANSPARENT = ("RGBA", "RGBa", "LA", "PA")
"""What Pillow calls pixels with an alpha channel."""

EXACT = 0x0100
"""Tells LittleCMS to take no short cuts, which are far off in dark greys."""

Conversion = tuple[str, Callable[[Any], np.ndarray]]
"""The mode of the pixels that it takes, and what makes (H, W, 3) uint8 of them: of inks of a picture of PIL's."""

STRIP = 4_000_000
"""Pixels that are converted at a time."""


def over_white(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """A picture, (H, W, 3) uint8, seen through its alpha, (H, W) uint8, on white; opaque pixels stay as they are."""
    result = pixels.copy()
    clear = alpha < 255
    share = alpha[clear, None].astype(np.float32) / 255
    result[clear] = np.round(pixels[clear] * share + WHITE * (1 - share)).astype(np.uint8)
    return result


def to_srgb(pixels: np.ndarray, profile: bytes | None, source: str) -> np.ndarray:
    """A picture, (H, W, 3) uint8, whose colours are those of an ICC profile, in sRGB.

    Where the profile is sRGB, or another that gives the same colours within 2 of 256 steps, every pixel stays as it is;
    as does the picture without a profile, with a broken one (of which a warning tells) or one of other pixels.

    Args:
        pixels: RGB, of grey pictures too.
        profile: None leaves the picture as it is.
        source: file of the picture, for the warning.
    """
    found = _conversion_of(profile, source)
    if found is None or found[0] == "CMYK":
        return pixels
    space, convert = found
    if space == "L" and not (np.array_equal(pixels[..., 0], pixels[..., 1]) and np.array_equal(*pixels.T[1:])):
        return pixels
    result = np.empty_like(pixels)
    rows = max(STRIP // pixels.shape[1], 1)
    for start in range(0, len(pixels), rows):
        result[start : start + rows] = convert(pixels[start : start + rows])
    return result


def to_rgb(picture: Any, source: str = "a picture") -> np.ndarray:
    """A picture of PIL's, of 8 bits in any colours, as (H, W, 3) uint8 RGB on white, in sRGB.

    Args:
        picture: not turned.
        source: its file, for warnings.
    """
    profile = picture.info.get("icc_profile") or None
    if picture.mode == "LAB":
        return np.array(_from_lab().apply(picture))
    inks = _conversion_of(profile, source) if picture.mode == "CMYK" else None
    if inks is not None and inks[0] == "CMYK":
        return inks[1](picture)
    if picture.mode in TRANSPARENT or "transparency" in picture.info:
        pixels = np.array(picture.convert("RGBA"))
        return over_white(to_srgb(np.ascontiguousarray(pixels[..., :3]), profile, source), pixels[..., 3])
    return to_srgb(np.array(picture.convert("RGB")), profile, source)


def _conversion_of(profile: bytes | None, source: str) -> Conversion | None:
    """See `_conversion`; None also where there is no profile, or a broken one."""
    try:
        return None if profile is None else _conversion(profile)
    except Exception as error:  # what a broken profile makes of a decoder is anybody's guess
        warn_once(f"{source}: its colour profile cannot be read ({error}): its colours are taken for sRGB")
        return None


@lru_cache(maxsize=8)
def _conversion(profile: bytes) -> Conversion | None:
    """What brings pixels of a profile to sRGB; None where they are there already."""
    cms: Any = require("PIL.ImageCms", "to convert colours", "data")
    image: Any = require("PIL.Image", "to convert colours", "data")
    opened = cms.ImageCmsProfile(io.BytesIO(profile))
    space = SPACES.get(opened.profile.xcolor_space.strip())
    if space is None:
        return None
    transform = cms.buildTransform(opened, cms.createProfile("sRGB"), space, "RGB", flags=EXACT if space == "L" else 0)
    if space == "CMYK":
        return space, lambda picture: np.array(transform.apply(picture))
    if space == "L":
        ramp = np.arange(256, dtype=np.uint8)[None]
        table = np.asarray(transform.apply(image.fromarray(ramp)))[0]
        return (
            None if np.abs(table.astype(int) - ramp.T).max() <= SAME else (space, lambda pixels: table[pixels[..., 0]])
        )
    steps = np.arange(0, 256, 15, dtype=np.uint8)
    colors = np.stack(np.meshgrid(*[steps] * 3), -1).reshape(1, -1, 3)

    def convert(pixels: np.ndarray) -> np.ndarray:
        return np.asarray(transform.apply(image.fromarray(pixels)))

    return None if np.abs(convert(colors).astype(int) - colors).max() <= SAME else (space, convert)


@lru_cache(maxsize=1)
def _from_lab() -> Any:
    cms: Any = require("PIL.ImageCms", "to convert colours", "data")
    return cms.buildTransform(cms.createProfile("LAB"), cms.createProfile("sRGB"), "LAB", "RGB")
