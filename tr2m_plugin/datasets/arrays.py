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

from tr2m_plugin.errors import InputError, require
from tr2m_plugin.files import reading, write_whole

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
JPEG_START, JPEG_SCAN, JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"


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


def read_image(source: str) -> np.ndarray:
    """A picture as (H, W, 3) uint8 RGB, from a file or an array reference.

    Grey pictures get three equal channels, 16-bit ones are scaled to 8 bits, transparency is dropped.

    Raises:
        InputError: the file is missing, cannot be read, is not a picture or is a JPEG that is cut off; the message
            names it.
    """
    if is_reference(source):
        return read_array(source)
    return cv2.cvtColor(_decode(source, cv2.IMREAD_COLOR, "picture"), cv2.COLOR_BGR2RGB)


def _decode(source: str, flags: int, kind: str) -> np.ndarray:
    """The pixels of a file, as `cv2.imread` has them."""
    with reading(source):
        content = Path(source).read_bytes()
    if _is_cut_off(content):
        raise InputError(f"{source} is cut off: the JPEG has no end; copy or download it again")
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flags) if content else None
    except cv2.error:
        pixels = None
    if pixels is None:
        raise InputError(f"{source} is not a {kind} that OpenCV can read")
    return pixels


def _is_cut_off(content: bytes) -> bool:
    """Whether content is a JPEG with pixels but without its end; decoders may fill up the rest with grey."""
    if not content.startswith(JPEG_START):
        return False
    place = len(JPEG_START)
    # over whole segments, since an embedded thumbnail has a scan and an end of its own
    while (place := content.find(b"\xff", place)) >= 0:
        marker = content[place : place + 2]
        if marker == JPEG_SCAN:
            return content.find(JPEG_END, place) < 0  # pixels never hold it
        place += 1 if marker == b"\xff\xff" else 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    return False


def read_image_strict(source: str, max_pixels: int = 100_000_000) -> np.ndarray:
    """A picture as (H, W, 3) uint8 RGB, from a file or an array reference, that is whole and what it seems.

    Stricter than `read_image`: for networks that cost much and for texts that stay.

    Args:
        source: file or array reference.
        max_pixels: the most that a picture may have. Default: 100 million.

    Raises:
        InputError: the file is missing, is no picture, is cut off, is larger than that, or has other channels than
            8-bit grey or colour; the message names it.
    """
    if is_reference(source):
        return read_array(source)
    if not os.path.isfile(source):
        raise InputError(f"{source} does not exist")
    pillow = require("PIL.Image", "to read pictures", "data")
    try:
        with pillow.open(source) as picture:
            width, height = picture.size
            if width * height > max_pixels:
                raise InputError(f"{source} has {width} × {height} pixels, more than {max_pixels}")
            if picture.mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):
                raise InputError(f"{source} is {picture.mode}: convert it to 8-bit RGB")
            return np.array(picture.convert("RGB"))
    except InputError:
        raise
    except Exception as error:  # what a broken file makes of a decoder is anybody's guess
        raise InputError(f"{source} is not a whole picture: {error}") from error


def stretch_image(image: np.ndarray, size: tuple[int, int], aligned: bool = False) -> np.ndarray:
    """A picture at the size of a network's input.

    Args:
        image: (H, W, 3) uint8 RGB.
        size: height and width.
        aligned: bilinear with aligned corners, as the authors' release does, (h, w, 3) float32 with nothing rounded.
            Default: averaged when it shrinks, bilinear when it grows, uint8.
    """
    if image.shape[:2] == size:
        return image
    if aligned:
        import torch
        from torch.nn import functional as F

        batch = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), np.float32))[None]
        return F.interpolate(batch, size, mode="bilinear", align_corners=True)[0].numpy().transpose(1, 2, 0)
    mode = cv2.INTER_AREA if image.shape[0] > size[0] else cv2.INTER_LINEAR
    return cv2.resize(image, (size[1], size[0]), interpolation=mode)


def read_stored(source: str, kinds: str = "fiu") -> np.ndarray:
    """A depth map as it is stored, (H, W), whatever its numbers mean.

    Args:
        source: a one-channel PNG or TIFF of 8 or 16 bits or of floats, a .npy file, or an array reference.
        kinds: of numbers that it may have, as numpy's `dtype.kind`. Default: real numbers.

    Raises:
        InputError: the file is missing, is unreadable, is empty, has other numbers or more than one channel; the
            message names it.
    """
    if is_reference(source):
        stored = read_array(source)
    elif source.endswith(".npy"):
        stored = _load_npy(source)
    else:
        stored = _decode(source, cv2.IMREAD_UNCHANGED, "depth map")
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


def read_depth(source: str, scale: float = 1.0) -> np.ndarray:
    """A depth map as (H, W) float32, 0 = no measurement.

    Args:
        source: see `read_stored`.
        scale: factor from the stored numbers to the dataset's unit. Default: 1.

    Raises:
        InputError: see `read_stored`.
    """
    return to_depth(read_stored(source), scale)


def to_depth(stored: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """Stored numbers in the dataset's unit, float32; what is not finite and positive becomes 0, no measurement."""
    depth = stored.astype(np.float32) * np.float32(scale)
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(0))


def find_arrays(folder: str | os.PathLike) -> dict[str, str]:
    """References to all arrays in a folder's shards (`*.safetensors`), by name."""
    shards = sorted(Path(folder).glob("*.safetensors"))
    return {name: f"{path}#{name}" for path in shards for name in open_shard(path).keys()}  # noqa: SIM118 (safetensors' handle is no dict)
