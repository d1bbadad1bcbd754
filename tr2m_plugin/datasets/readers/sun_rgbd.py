"""SUN RGB-D (Song et al. 2015; rgbd.cs.princeton.edu)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from tr2m_plugin.datasets.arrays import to_depth
from tr2m_plugin.datasets.readers.base import Reader
from tr2m_plugin.datasets.readers.files import find_all, find_first, find_list, find_numbered, load_mat, stored_as
from tr2m_plugin.errors import InputError
from tr2m_plugin.files import read_text
from tr2m_plugin.rows import IndexRow

IMAGES = ("rgb", "SUNRGBD-test_images")
DEPTHS = ("depth", "sunrgb_test_depth/sunrgbd_test_depth", "sunrgb_test_depth", "sunrgbd_test_depth")
"""Folders of the test pictures in ankurhanda/sunrgbd-meta-data, as its archives and as Depth Anything name them."""

LISTS = ("allsplit.mat", "SUNRGBDtoolbox/traintestSUNRGBD/allsplit.mat")
VARIABLES = {"train": "alltrain", "test": "alltest"}
NUMBER = r"(?:.*\D)?(\d+)\D*"
"""A name by its last number."""
ENCODINGS = ("10000", "8000", "rotated")
FARTHEST = 8.0
"""In metres; what is farther is no measurement."""


@dataclass(frozen=True)
class SUNRGBD(Reader):
    """SUN RGB-D: 5,285 pictures of four sensors to train on, 5,050 to test on.

    Two layouts are found by themselves. The publisher's has `SUNRGBD/{kv1,kv2,realsense,xtion}/.../SCENE/` with one
    picture in `image`, its depth in `depth` and `depth_bfx`, and `intrinsics.txt`; the split is `allsplit.mat` of its
    toolbox. The other is that of Depth Anything's evaluation: `rgb/img-000001.jpg` and `depth/1.png`, paired by their
    number, from ankurhanda/sunrgbd-meta-data; it has the test pictures only. Pictures are of several sizes.

    Depth is a PNG of 16 bits. The publisher stores millimetres whose bits are rotated left by three (SUN3Dsfm,
    depthRead.m), and `rotated` undoes that: it is metrically right. Published tables of zero-shot results come from
    Depth Anything's loader (LiheYoung/Depth-Anything, sun_rgbd_loader.py), which divides by 10000, as the data's README
    says to; on the publisher's numbers that is 0.8 of the true depth. `10000` is the default, since numbers are only
    comparable with those tables that way. `8000` is `rotated` below 8.192 m. Depth beyond 8 m is no measurement.

    Args:
        split_file: MATLAB file of the publisher's split. Default: looked for in the root and in the toolbox below it.
        filled: take depth with its holes filled, `depth_bfx`, and not `depth`; of the publisher's layout.
        encoding: how stored numbers become metres: `10000`, `8000` or `rotated`.
    """

    split_file: str | None = None
    filled: bool = True
    encoding: Literal["10000", "8000", "rotated"] = "10000"

    name: ClassVar[str] = "sun_rgbd"
    title: ClassVar[str] = "SUN RGB-D"
    domain: ClassVar[str] = "indoor"
    counts: ClassVar[Mapping[str, int]] = {"train": 5285, "test": 5050}
    publisher: ClassVar[str] = (
        "Princeton, rgbd.cs.princeton.edu; the test pictures alone come from github.com/ankurhanda/sunrgbd-meta-data"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "encoding", str(self.encoding))  # YAML reads a number
        if self.encoding not in ENCODINGS:
            raise InputError(f"SUN RGB-D: encoding must be one of {', '.join(ENCODINGS)}, not {self.encoding!r}")

    def rows(self) -> Iterable[IndexRow]:
        path = find_list(self.folder, LISTS, self.split_file)
        images = next((self.folder / name for name in IMAGES if (self.folder / name).is_dir()), None)
        if path is not None:
            yield from self._scenes(path)
        elif images is None:
            wanted = ", ".join((*LISTS, *IMAGES))
            raise InputError(f"{self.folder} is no layout of SUN RGB-D: looked for {wanted} ({self.publisher})")
        elif self.wants("test"):
            yield from self._numbers(images, find_first(self.folder, DEPTHS, "folder of depth"))

    def _scenes(self, path: Path) -> Iterable[IndexRow]:
        for split, variable in VARIABLES.items():
            for cell in load_mat(path, variable).ravel() if self.wants(split) else ():
                listed = str(*np.ravel(cell)[:1])
                _, mark, scene = listed.partition("SUNRGBD/")
                if not mark:
                    raise InputError(f"{path}: {listed!r} of {variable} is no path with SUNRGBD/")
                folder = self.folder / "SUNRGBD" / scene
                image = _only(folder / "image", "*.jpg")
                depth = _only(folder / ("depth_bfx" if self.filled else "depth"), "*.png")
                sample = image.relative_to(self.folder).with_suffix("").as_posix()
                yield self.row(sample, split, image, depth, _camera(folder), encoding=self.encoding)

    def _numbers(self, images: Path, depths: Path) -> Iterable[IndexRow]:
        pictures, measured = find_numbered(images, rf"{NUMBER}\.jpg"), find_numbered(depths, rf"{NUMBER}\.png")
        for number in sorted({*pictures, *measured}):
            image = pictures.get(number, images / f"img-{number:06d}.jpg")
            depth = measured.get(number, depths / f"{number}.png")
            yield self.row(image.stem, "test", image, depth, encoding=self.encoding)

    @staticmethod
    def depth(row: IndexRow) -> np.ndarray:
        stored = stored_as(row.truth, np.uint16)
        encoding = row.extras["encoding"]
        if encoding == "rotated":
            metres = to_depth((stored >> 3) | (stored << 13), 0.001)
        else:
            metres = to_depth(stored, 1 / int(encoding))
        return np.where(metres > FARTHEST, np.float32(0), metres)


def _only(folder: Path, pattern: str) -> Path:
    """The one file of a folder of a scene, by pattern.

    Without one what is missing, which `index` then reports: the scene, its folder, or the pattern.
    """
    files = find_all(folder, pattern)
    if len(files) > 1:
        raise InputError(f"{folder} holds {len(files)} files {pattern}, not one: is it the published folder?")
    if files:
        return files[0]
    return next((path for path in (folder.parent, folder) if not path.is_dir()), folder / pattern)


def _camera(folder: Path) -> tuple[float | None, float | None, float | None, float | None]:
    """fx, fy, cx, cy of a scene: the matrix of its `intrinsics.txt`, row by row; None where there is none."""
    path = folder / "intrinsics.txt"
    if not path.is_file():
        return None, None, None, None
    text = read_text(path)
    try:
        fx, _, cx, _, fy, cy, _, _, _ = map(float, text.split())
    except ValueError as error:
        raise InputError(f"{path} is not a matrix of 3 × 3 numbers: {error}") from error
    return fx, fy, cx, cy
