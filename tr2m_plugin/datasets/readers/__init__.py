"""Readers of published datasets, and the decoding of any row of the index."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import cv2
import numpy as np

from tr2m_plugin.datasets.arrays import picture_header, read_image, read_stored, to_depth
from tr2m_plugin.datasets.headers import turn_with
from tr2m_plugin.datasets.readers.base import Reader, cut, resize
from tr2m_plugin.errors import InputError, MissingExtraError, require
from tr2m_plugin.rows import IndexRow

READERS = {
    "nyu": "NYUv2",
    "kitti": "KITTI",
    "void": "VOID",
    "c3vd": "C3VD",
    "sun_rgbd": "SUNRGBD",
    "ibims": "IBims1",
    "hypersim": "HyperSim",
    "diode": "DIODEOutdoor",
    "simcol": "SimCol3D",
}
"""Readers by the name of their dataset, each in a module of that name."""

PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


def reader_of(name: str) -> type[Reader]:
    """A reader by the name of its dataset.

    Raises:
        InputError: there is none.
        TypeError: its module has no class so called, or the class another name.
    """
    if name not in READERS:
        raise InputError(f"{name!r} is no dataset with a reader; there are {', '.join(READERS)}")
    kind = getattr(import_module(f"{__name__}.{name}"), READERS[name], None)
    if kind is None or getattr(kind, "name", name) != name:
        raise TypeError(f"READERS looks for a class {READERS[name]} of the name {name!r} in {name}.py: there is none")
    return kind


def load_picture(row: IndexRow) -> np.ndarray:
    """The picture of a row of the index, (H, W, 3) uint8 RGB, cropped and resized as its reader says.

    Raises:
        InputError: the file is missing or unreadable; the message names it.
    """
    extras = row.extras
    reader = reader_of(row.reader) if row.reader else None
    picture = reader.picture(row) if reader else read_image(row.image, one_channel=True)
    picture = cut(picture, extras.get("crop"), row.image)
    return resize(picture, extras.get("picture_size"), cv2.INTER_LINEAR)


def load_depth(row: IndexRow) -> np.ndarray:
    """True depth of a row of the index, (H, W) float32 in the dataset's unit, 0 = no measurement.

    Where EXIF data turn the picture, depth of the stored picture's shape is turned with it (see `turn_with`).

    Raises:
        InputError: the file is missing, unreadable, not of the published type or size, or of another shape than its
            picture; the message names it.
    """
    extras = row.extras
    depth = reader_of(row.reader).depth(row) if row.reader else _plain_depth(row, extras)
    if depth.ndim != 2:
        raise InputError(f"{row.truth} has depth of the shape {depth.shape}, not height and width")
    header = picture_header(row.image)
    depth = turn_with(header, depth, row.truth)
    if header is not None and header.upright != depth.shape:
        (height, width), (rows, columns) = depth.shape, header.upright
        raise InputError(f"{row.truth} is {height} × {width} and its picture {rows} × {columns}: they must match")
    depth = cut(depth, extras.get("crop"), row.truth)
    return resize(depth, extras.get("depth_size"), cv2.INTER_NEAREST)


def headers_agree(row: IndexRow) -> bool:
    """Whether a row's picture and depth seem whole and of one size, by their headers alone, without decoding them.

    What it cannot tell, such as of entries of a container, agrees; only decoding finds damage inside.
    """
    picture, depth = picture_header(row.image), row.truth
    if "#" in depth:
        return True
    stored: Sequence[int] | None
    try:
        if depth.endswith(".npy"):
            stored = np.load(depth, mmap_mode="r", allow_pickle=False).shape[:2]  # as long as its header says
        elif depth.endswith(".hdf5"):
            h5py = require("h5py", "to read HDF5", "data")
            with h5py.File(depth, "r") as file:
                stored = next(iter(file.values())).shape[:2]
        else:
            header = picture_header(depth)
            stored = None if header is None else header.upright
            if depth.endswith(".png") and not _ends_with(depth, PNG_END):
                return False
    except MissingExtraError:
        raise
    except Exception:  # what a broken file makes of a decoder is anybody's guess; `load_depth` says what is wrong
        return False
    return stored is not None and (picture is None or tuple(stored) in (picture.size, picture.upright))


def _ends_with(source: str, ending: bytes) -> bool:
    with open(source, "rb") as file:
        file.seek(-min(len(ending), file.seek(0, os.SEEK_END)), os.SEEK_END)
        return file.read() == ending


def _plain_depth(row: IndexRow, extras: Mapping[str, Any]) -> np.ndarray:
    """Depth of a file that needs no reader, without what its mask or its numbers call invalid."""
    stored = read_stored(row.truth)
    invalid = np.array(extras.get("invalid", ()), float)
    with np.errstate(over="ignore"):  # 65.535 is another number in 32 bits than in 64
        valid = ~np.isin(stored, invalid.astype(stored.dtype) if stored.dtype.kind == "f" else invalid)
    if extras.get("mask"):
        mask = read_stored(extras["mask"], "bfiu")
        if mask.shape != stored.shape:
            raise InputError(f"{extras['mask']} is {mask.shape} and its depth {stored.shape}: they must match")
        valid &= mask != 0
    return np.where(valid, to_depth(stored, row.depth_scale or 1.0), np.float32(0))
