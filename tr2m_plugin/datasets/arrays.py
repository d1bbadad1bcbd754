"""Pictures and depth maps from files and from array shards.

An array reference is `FILE.safetensors#NAME`: the tensor NAME of that file, read without reading the rest.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tr2m_plugin.datasets.colors import over_white, to_srgb
from tr2m_plugin.datasets.decoding import (
    JPEG_START,
    decode,
    decode_with_pillow,
    floats_to_8_bits,
    read_content,
    significant_bits,
    to_8_bits,
)
from tr2m_plugin.datasets.headers import Header, read_header, turn_with
from tr2m_plugin.errors import InputError
from tr2m_plugin.files import file_size, reading, write_whole


@lru_cache(maxsize=128)
def _open_shard(path: str, stamp: int) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, framework="numpy")
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a readable safetensors file: {error}") from error


def open_shard(path: str | os.PathLike) -> Any:
    """A handle on a shard, kept open for the next call; a rewritten file gets a new one.

    Raises:
        InputError: the file is missing or is no safetensors file.
    """
    try:
        stamp = os.stat(path).st_mtime_ns
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist: run the stage that writes it (`dvc repro`)") from error
    return _open_shard(os.fspath(path), stamp)


def write_shard(path: str | os.PathLike, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] = {}) -> None:
    """Writes named arrays as one file, whole or not at all.

    Raises:
        OSError: see `write_whole`.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    plain = {name: np.ascontiguousarray(a) for name, a in arrays.items()}

    def write(partial: Path) -> None:
        try:
            save_file(plain, partial, metadata=dict(metadata))
        except SafetensorError as error:
            raise OSError(str(error)) from error

    write_whole(target, write)


def read_array(reference: str) -> np.ndarray:
    """The array behind `FILE.safetensors#NAME`.

    Raises:
        InputError: the file is missing or holds no such array.
    """
    from safetensors import SafetensorError

    path, _, name = reference.partition("#")
    try:
        return open_shard(path).get_tensor(name)
    except SafetensorError as error:
        raise InputError(f"{path} holds no array {name!r}") from error


def is_reference(source: str) -> bool:
    """Whether a source names an array in a shard, not a file."""
    return ".safetensors#" in source


def read_image(source: str, bits: int | None = None, one_channel: bool = False, raw: bool = False) -> np.ndarray:
    """A picture as (H, W, 3) uint8 RGB, upright, from a file or an array reference.

    Pictures are turned as their EXIF data say, and colours of an ICC profile become sRGB's. Grey, 1-bit and palette
    pictures get three channels, CMYK and LAB become RGB, what is transparent shows white behind it, and of several
    frames the first is taken, with a warning. 16 bits are brought to 8 by the range of their significant bits: as the
    file says, else the fewest of 8, 10, 12, 14 and 16 that hold the picture's largest number, so that 12 bits in 16 are
    as bright as they should be. Floats are shares of white.

    Args:
        source: file or array reference.
        bits: significant bits of a 16-bit picture; 16 takes the whole range. Default: see above.
        one_channel: whether more than 8 bits in one channel are taken for a picture too. Default: False, they are
            refused as a depth map.
        raw: whether colours are taken as they are stored, without profile and alpha, as other programs measure
            published pictures. Default: False, as they are seen.

    Raises:
        InputError: the file is missing, cannot be read, is not a picture, is a depth map, is cut off or damaged, has
            more than 120 million pixels (or `TR2M_MAX_PIXELS`) or a side 50 times the other, or needs a decoder that is
            not installed; the message names it.
    """
    if is_reference(source):
        return read_array(source)
    header, content = read_content(source, "picture", deep=one_channel)
    if not header.by_opencv or not (header.plain or raw):
        return decode_with_pillow(source, header, content)
    clear = header.alpha and not raw
    flags = cv2.IMREAD_UNCHANGED if clear else cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
    pixels = decode(source, header, content, flags, "picture")
    alpha = (pixels[..., 3] >> 8).astype(np.uint8) if clear else None
    pixels = pixels if alpha is None else pixels[..., :3]
    if pixels.dtype == np.uint16:
        pixels = to_8_bits(pixels, bits or significant_bits(pixels, header, content), content)
    elif pixels.dtype.kind == "f":
        pixels = floats_to_8_bits(pixels, source)
    if pixels.dtype != np.uint8:
        raise InputError(f"{source} is a picture of {pixels.dtype}: convert it to 8 bits")
    image = to_srgb(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), None if raw else header.profile, source)
    return image if alpha is None else over_white(image, alpha)


def read_stored(source: str, kinds: str = "fiu") -> np.ndarray:
    """A depth map as it is stored, (H, W), whatever its numbers mean; turned where its own file says so.

    Args:
        source: a one-channel PNG or TIFF of 8 or 16 bits or of floats, a .npy file, or an array reference.
        kinds: kinds of numbers that it may have, as numpy's `dtype.kind`. Default: real numbers.

    Raises:
        InputError: the file is missing, is unreadable, is empty, is a JPEG, has other numbers or more than one
            channel; the message names it.
    """
    if is_reference(source):
        stored = read_array(source)
    elif source.endswith(".npy"):
        stored = _load_npy(source)
    else:
        header, content = read_content(source, "depth map")
        stored = decode(source, header, content, cv2.IMREAD_UNCHANGED, "depth map")
        if content.startswith(JPEG_START):
            raise InputError(f"{source} is a JPEG, which changes numbers: depth and masks are PNG, TIFF or .npy files")
    if stored.dtype.kind not in kinds:
        raise InputError(f"{source} is an array of {stored.dtype}; a depth map has real numbers")
    if stored.size == 0:
        raise InputError(f"{source} has the shape {stored.shape}, no pixel")
    if stored.ndim == 3 and stored.shape[2] == 1:
        stored = stored[..., 0]
    if stored.ndim != 2:
        raise InputError(f"{source} has the shape {stored.shape}; a depth map has one channel")
    return stored


def _load_npy(source: str) -> np.ndarray:
    file_size(source)
    try:
        with reading(source):
            stored = np.load(source, allow_pickle=False)
    except InputError:
        raise
    except Exception as error:  # what a broken file makes of a decoder is anybody's guess
        raise InputError(f"{source} is not an array of numbers: {error}") from error
    if not isinstance(stored, np.ndarray):
        stored.close()
        raise InputError(f"{source} is an archive of arrays (.npz), not an array of numbers")
    return stored


def read_depth(source: str, scale: float = 1.0, image: str | None = None) -> np.ndarray:
    """A depth map as (H, W) float32, 0 = no measurement.

    Args:
        source: see `read_stored`.
        scale: factor from the stored numbers to the dataset's unit. Default: 1.
        image: file of the picture that it belongs to, with which it is turned upright; see `turn_with`. Default: none.

    Raises:
        InputError: see `read_stored`.
    """
    depth = to_depth(read_stored(source), scale)
    return turn_with(picture_header(image), depth, source) if image is not None else depth


def picture_header(source: str) -> Header | None:
    """What the file of a picture says of itself; None of an array reference and of what is no picture."""
    return read_header(source) if not is_reference(source) and os.path.isfile(source) else None


def to_depth(stored: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """Stored numbers in the dataset's unit, float32; what is not finite and positive becomes 0, no measurement."""
    depth = stored.astype(np.float32) * np.float32(scale)
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(0))


def find_arrays(folder: str | os.PathLike) -> dict[str, str]:
    """References to all arrays in a folder's shards (`*.safetensors`), by name."""
    shards = sorted(Path(folder).glob("*.safetensors"))
    return {name: f"{path}#{name}" for path in shards for name in open_shard(path).keys()}  # noqa: SIM118 (safetensors' handle is no dict)
