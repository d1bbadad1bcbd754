"""NYU Depth v2 (Silberman et al. 2012; cs.nyu.edu/~silberman/datasets/nyu_depth_v2.html)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tr2m_plugin.datasets.arrays import read_image, to_depth
from tr2m_plugin.datasets.readers.base import ListedReader
from tr2m_plugin.datasets.readers.files import (
    below,
    check_stored,
    find_first,
    focal_length,
    load_mat,
    read_fields,
    stored_as,
)
from tr2m_plugin.errors import InputError, require
from tr2m_plugin.files import reading
from tr2m_plugin.rows import IndexRow

FOLDERS = {"train": ("sync", "train"), "test": ("official_splits/test", "test")}
LABELED, SPLITS = "nyu_depth_v2_labeled.mat", "splits.mat"
SIZE = (480, 640)
FOCAL = 518.8579
"""In pixels; the third field of every line of the lists."""
FRAME = (slice(7, 474), slice(7, 632))
"""What the extraction script leaves of a test picture; the rest becomes black."""


@dataclass(frozen=True)
class NYUv2(ListedReader):
    """NYU Depth v2: 24,231 pictures of 284 scenes to train on, the 654 of the official test split.

    The folders are those of BTS and its followers (`sync/SCENE/rgb_00000.jpg` with `sync_depth_00000.png`, and
    `official_splits/test/SCENETYPE/`), listed in `nyudepthv2_{train,test}_files_with_gt.txt`. The test split can also
    be read from what the publisher ships, `nyu_depth_v2_labeled.mat` (MATLAB 7.3, that is HDF5) and `splits.mat`
    (MATLAB 5): raw depth, not the in-filled one, cut to millimetres, and pictures black outside rows 7:474 and columns
    7:632, as the lists' extraction script leaves them (cleinc/bts, extract_official_train_test_set_from_mat.py).
    """

    name: ClassVar[str] = "nyu"
    title: ClassVar[str] = "NYU Depth v2"
    domain: ClassVar[str] = "indoor"
    names: ClassVar[Mapping[str, Sequence[str]]] = {
        "train": ["nyudepthv2_train_files_with_gt.txt"],
        "test": ["nyudepthv2_test_files_with_gt.txt"],
    }
    counts: ClassVar[Mapping[str, int]] = {"train": 24231, "test": 654}
    publisher: ClassVar[str] = (
        "NYU, cs.nyu.edu/~silberman/datasets/nyu_depth_v2.html; the synchronised training pictures and the lists come "
        "from BTS, github.com/cleinc/bts"
    )
    digests: ClassVar[Mapping[str, Sequence[str]]] = {
        "train": ["a390ad7bfd5441cc9be37f59a384b4db"],
        "test": ["97fc4ddef437228b1f9fc9b8054b778f"],
    }

    def rows(self) -> Iterable[IndexRow]:
        lists = self.lists()
        labeled = "test" not in lists and self.wants("test") and (self.folder / LABELED).is_file()
        for split, path in lists.items():
            yield from self._listed(split, path)
        if labeled:
            yield from self._labeled()
        if not lists and not labeled:
            wanted = [self.names[split][0] for split in self.names if self.wants(split)]
            raise InputError(
                f"{self.folder} has none of {', '.join(wanted)}, nor {LABELED} with {SPLITS}: {self.publisher}"
            )

    def _listed(self, split: str, path: Path) -> Iterable[IndexRow]:
        folders = [self.folder / name for name in FOLDERS[split]]
        folder = next((folder for folder in folders if folder.is_dir()), folders[0])
        for image, depth, text in (fields[:3] for fields in read_fields(path, 3)):
            sample, focal = image.lstrip("/").rpartition(".")[0], focal_length(text, path)
            camera = (focal, focal, None, None)
            yield self.row(sample, split, below(folder, image), below(folder, depth), camera)

    def _labeled(self) -> Iterable[IndexRow]:
        path = find_first(self.folder, [SPLITS], "list of the test pictures")
        numbers = load_mat(path, "testNdxs").ravel() - 1
        labeled = self.folder / LABELED
        file = _open_mat(str(labeled))
        for number in numbers.tolist():
            try:
                kind = "".join(map(chr, file[file["sceneTypes"][0, number]][()].ravel()))
            except Exception as error:  # what another file makes of it is anybody's guess
                raise InputError(f"{labeled} has no sceneTypes of picture {number + 1} of {path}: {error}") from error
            for name in ("images", "rawDepths"):
                _variable(str(labeled), name, number)
            reference = f"{labeled}#{number}"
            yield self.row(f"{kind}/rgb_{number:05d}", "test", reference, reference, (FOCAL, FOCAL, None, None))

    @staticmethod
    def picture(row: IndexRow) -> np.ndarray:
        path, mark, number = row.image.partition("#")
        if not mark:
            return read_image(path, raw=True)
        with reading(path):
            picture = _variable(path, "images", int(number))[int(number)].T
        check_stored(picture, row.image, np.uint8, (*SIZE, 3))
        framed = np.zeros_like(picture)
        framed[FRAME] = picture[FRAME]
        return framed

    @staticmethod
    def depth(row: IndexRow) -> np.ndarray:
        path, mark, number = row.truth.partition("#")
        if not mark:
            return to_depth(stored_as(path, np.uint16, SIZE), 0.001)
        with reading(path):
            metres = _variable(path, "rawDepths", int(number))[int(number)].T
        check_stored(metres, row.truth, (np.float32, np.float64), SIZE)
        return to_depth((metres * 1000).astype(np.uint16), 0.001)


def _variable(path: str, name: str, number: int) -> Any:
    """A variable of the labelled .mat, which has an entry of a number, from 0.

    Raises:
        InputError: it has not, or the file has no such variable or is no MATLAB 7.3 file.
    """
    file = _open_mat(path)
    if name not in file:
        raise InputError(f"{path} has no variable {name}, only {', '.join(file)}: is it the published file?")
    count = (*getattr(file[name], "shape", ()), 0)[0]
    if not 0 <= number < count:
        raise InputError(f"{path} has {count} {name}, and {SPLITS} asks for picture {number + 1}: do they go together?")
    return file[name]


@lru_cache(maxsize=2)
def _open_mat(path: str) -> Any:
    h5py = require("h5py", "to read MATLAB 7.3 files", "data")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"{path} is not a MATLAB 7.3 file: {error}") from error
