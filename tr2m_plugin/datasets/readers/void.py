"""VOID (Wong et al. 2020, Unsupervised Depth Completion from Visual Inertial Odometry; alexklwong/void-dataset)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from tr2m_plugin.datasets.arrays import to_depth
from tr2m_plugin.datasets.readers.base import Reader
from tr2m_plugin.datasets.readers.files import find_first, find_list, read_fields, stored_as
from tr2m_plugin.errors import InputError
from tr2m_plugin.files import reading
from tr2m_plugin.rows import IndexRow

PREFIX = "void_1500/"
"""What listed paths and sample ids begin with."""
HOMES = ("void_1500", "void_release/void_1500", ".")
SIZE = (480, 640)


@dataclass(frozen=True)
class VOID(Reader):
    """VOID-1500: 48,248 pictures of 48 sequences to train on, 800 of 8 sequences to test on.

    The root is `void_release`, its parent, or `void_1500`. Pictures are `void_1500/data/SEQUENCE/image/STAMP.png`,
    stamps have a dot (`1552625295.7828`), depth has the same name in `ground_truth` (PNG of 16 bits, 480 × 640, in
    1/256 m; sparse depth and validity maps are not read). `{train,test}_image.txt` and `{train,test}_ground_truth.txt`
    list them line by line, relative to `void_release` (alexklwong/void-dataset, README.md and src/data_utils.py); they
    are looked for in `void_1500`, in the root, and in `data_splits` or RSA's `data_splits/void` below either.
    Intrinsics are those of the sequence's `K.txt`, where it is there.
    """

    name: ClassVar[str] = "void"
    title: ClassVar[str] = "VOID"
    domain: ClassVar[str] = "indoor"
    counts: ClassVar[Mapping[str, int]] = {"train": 48248, "test": 800}
    publisher: ClassVar[str] = "github.com/alexklwong/void-dataset: void_release, of which the folder void_1500"

    def rows(self) -> Iterable[IndexRow]:
        home = find_first(self.folder, HOMES, "folder void_1500")
        wanted = {split: f"{split}_image.txt" for split in self.counts if self.wants(split)}
        lists = {split: _find(home, self.folder, name) for split, name in wanted.items()}
        if not any(lists.values()):
            raise InputError(f"{home} has none of {', '.join(wanted.values())}: {self.publisher}")
        for split, path in lists.items():
            if path is not None:
                yield from self._listed(split, home, path)

    def _listed(self, split: str, home: Path, path: Path) -> Iterable[IndexRow]:
        partner = path.with_name(f"{split}_ground_truth.txt")
        if not partner.is_file():
            raise InputError(f"{partner} does not exist; it lists the depth of {path.name}")
        images, depths = _listed_paths(path), _listed_paths(partner)
        if len(images) != len(depths):
            raise InputError(f"{partner} lists {len(depths)} files and {path.name} {len(images)}: line by line, a pair")
        cameras: dict[Path, tuple[float | None, ...]] = {}
        for number, (image, depth) in enumerate(zip(images, depths, strict=True), 1):
            if depth != image.replace("/image/", "/ground_truth/"):
                raise InputError(f"{partner}, line {number}: {depth} is not the depth of {image} in {path.name}")
            sequence = (home / image).parent.parent
            if sequence not in cameras:
                cameras[sequence] = _camera(sequence / "K.txt")
            sample = PREFIX + image.removesuffix(".png")
            yield self.row(sample, split, home / image, home / depth, cameras[sequence])

    @staticmethod
    def depth(row: IndexRow) -> np.ndarray:
        return to_depth(stored_as(row.truth, np.uint16, SIZE), 1 / 256)


def _find(home: Path, root: Path, name: str) -> Path | None:
    """A list in void_1500 or in the root, or in folders of lists below either, such as RSA's `data_splits/void`."""
    names = (name, f"void/{name}")
    return find_list(home, names) or find_list(root, names)


def _listed_paths(path: Path) -> list[str]:
    """The paths of a list, relative to void_1500."""
    paths = []
    for number, (line, *_) in enumerate(read_fields(path, 1), 1):
        _, mark, inside = line.partition(PREFIX)
        if not mark:
            raise InputError(f"{path}, line {number}: {line!r} is not below {PREFIX}")
        paths.append(inside)
    return paths


def _camera(path: Path) -> tuple[float | None, ...]:
    """fx, fy, cx, cy of a sequence, in pixels; None where there is no file."""
    if not path.is_file():
        return (None, None, None, None)
    try:
        with reading(path):
            matrix = np.loadtxt(path, encoding="utf-8-sig")
    except ValueError as error:
        raise InputError(f"{path} is not a table of numbers: {error}") from error
    if matrix.shape != (3, 3):
        raise InputError(f"{path} should be a matrix of 3 × 3 and has the shape {matrix.shape}")
    return tuple(float(matrix[place]) for place in ((0, 0), (1, 1), (0, 2), (1, 2)))
