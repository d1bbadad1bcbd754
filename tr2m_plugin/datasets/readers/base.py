"""What the readers of published datasets have in common: rows of the index, and how a row's files are decoded."""

from __future__ import annotations

import json
import os
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np

from tr2m_plugin.checks import are_numbers, is_window
from tr2m_plugin.datasets.arrays import read_image
from tr2m_plugin.datasets.readers.files import find_list
from tr2m_plugin.errors import InputError
from tr2m_plugin.files import reading
from tr2m_plugin.rows import IndexRow
from tr2m_plugin.units import UNITS

KB_SIZE = (352, 1216)
"""Height and width of KITTI's benchmark crop."""


@dataclass(frozen=True)
class Reader(ABC):
    """A dataset as its publisher ships it.

    `index` lists its pictures; `picture` and `depth` decode the files of a row. What a row needs for that travels with
    it in `extras`, so that a row can be decoded wherever its files are. A subclass gives `rows`, which makes them with
    `self.row`, `depth`, and the attributes without a default; where it has options of its own it is a frozen dataclass.

    Args:
        root: the dataset's folder.
        splits: which of train, val and test to list. Default: all that are there.
        crop: window that is cut out of picture and depth on loading: `kb`, KITTI's benchmark crop, or top, bottom,
            left and right in pixels. Default: none.
        picture_size: height and width that pictures are brought to on loading, after the crop. Default: their own.
        depth_size: the same for depth, which is sampled at the nearest pixel. Default: its own.
        allow_missing: leave out pictures with a word whose files are not there. Default: False, they are an error.

    Attributes:
        name: name of the dataset, in tables and protocols: its name in `READERS`.
        title: as its publisher calls it.
        domain: indoor, outdoor, surgical or another: what a wrong-domain description differs in.
        unit: unit of depth, "m" or "mm".
        counts: published number of pictures by split; as many to test on are the whole dataset.
        publisher: where to get it, as messages say it.
        digests: MD5 of the published split files by split, where there is one that everybody has.
        remedy: what to do without files that are not there.
        unpublished: sample ids of pictures whose files the publisher's own archives lack; left out where they are not
            there.
    """

    root: str
    splits: Sequence[str] | None = None
    crop: str | Sequence[int] | None = None
    picture_size: Sequence[int] | None = None
    depth_size: Sequence[int] | None = None
    allow_missing: bool = False

    name: ClassVar[str]
    title: ClassVar[str]
    domain: ClassVar[str]
    unit: ClassVar[str] = "m"
    counts: ClassVar[Mapping[str, int]]
    publisher: ClassVar[str]
    digests: ClassVar[Mapping[str, Sequence[str]]] = {}
    remedy: ClassVar[str] = "leave their split out with `splits`"
    unpublished: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        lacking = [name for name in ("name", "title", "domain", "counts", "publisher") if not hasattr(self, name)]
        if lacking:
            raise TypeError(f"the class {type(self).__name__} must say its {', '.join(lacking)}")
        if self.unit not in UNITS:
            raise TypeError(f"the class {type(self).__name__} has the unit {self.unit!r}, not {' or '.join(UNITS)}")
        with reading(self.root):
            if not self.folder.is_dir():
                raise InputError(f"{self.root} is not a folder: give the root of {self.title}")
            os.listdir(self.folder)
        if isinstance(self.splits, str) or not isinstance(self.splits, Sequence | None):
            raise InputError(f"{self.title}: splits must be a list such as [test], not {self.splits!r}")
        for option in ("mask", "allow_missing"):
            if not isinstance(getattr(self, option, True), bool):
                raise InputError(f"{self.title}: {option} must be true or false, not {getattr(self, option)!r}")
        unknown = sorted(set(self.splits or ()) - set(self.known_splits()))
        if unknown:
            raise InputError(f"{self.title} has the splits {', '.join(self.known_splits())}, not {', '.join(unknown)}")
        check_crop(self.crop, self.title)
        for option in ("picture_size", "depth_size"):
            size = getattr(self, option)
            if size is not None and not (are_numbers(size, 2, whole=True) and min(size) > 0):
                raise InputError(f"{self.title}: {option} must be height and width in whole pixels, not {size!r}")

    @property
    def folder(self) -> Path:
        """The root, absolute."""
        return Path(self.root).expanduser().resolve()

    @classmethod
    def known_splits(cls) -> tuple[str, ...]:
        """Names of the splits that there can be."""
        return tuple(cls.counts)

    @classmethod
    def is_whole(cls, count: int) -> bool:
        """Whether that many pictures are the published test split."""
        return count == cls.counts.get("test")

    def lists(self) -> dict[str, Path]:
        """The files that wanted splits are read from, by split; empty where there are none or nobody has digests.

        Raises:
            InputError: a file that was given does not exist.
        """
        return {}

    def published(self) -> dict[str, dict[str, int]]:
        """Published number of pictures of the wanted splits, by split and video; see `video`."""
        return {split: {"": count} for split, count in self.counts.items() if self.wants(split)}

    @staticmethod
    def video(row: IndexRow) -> str:
        """The video that a row belongs to, for datasets whose numbers are published by video; else nothing."""
        return ""

    @staticmethod
    def files(row: IndexRow) -> list[str]:
        """The files that decoding a row needs; an entry of a container (`FILE#ENTRY`) is its file."""
        return [source.partition("#")[0] for source in (row.image, row.depth) if source is not None]

    def missing_files(self, rows: Iterable[IndexRow]) -> list[str]:
        """The files that rows need and that are not there, each once, in order."""
        files = dict.fromkeys(file for row in rows for file in self.files(row))
        with reading(self.folder):
            return [file for file in files if not Path(file).is_file()]

    def without(self, rows: Iterable[IndexRow], lacking: Iterable[str]) -> list[IndexRow]:
        """The rows that need one of some missing files."""
        gone = set(lacking)
        return [row for row in rows if not gone.isdisjoint(self.files(row))] if gone else []

    @abstractmethod
    def rows(self) -> Iterable[IndexRow]:
        """Rows of the wanted splits as the dataset lists them, whether their files are there or not.

        Raises:
            InputError: a list that it needs is missing or malformed, or a folder cannot be read; the message names it.
        """

    @staticmethod
    @abstractmethod
    def depth(row: IndexRow) -> np.ndarray:
        """Depth of a row as stored, (H, W) float32 in the dataset's unit, 0 = no measurement; before crop and size.

        Raises:
            InputError: the file is missing, or not of the type that the dataset is published in.
        """

    @staticmethod
    def picture(row: IndexRow) -> np.ndarray:
        """Picture of a row as stored, (H, W, 3) uint8 RGB; before crop and size."""
        return read_image(row.image, bits=16, one_channel=True, raw=True)

    def index(self) -> list[IndexRow]:
        """Rows of the index, in the dataset's order; every file is there, see `allow_missing`.

        Raises:
            InputError: a list or a file is missing; the message names the first and says how many. Or a list or a
                folder cannot be read; the message names it.
        """
        rows = listed(self)
        if not rows:
            raise InputError(f"{self.folder} holds no picture of {self.title}: {self.publisher}")
        lacking = self.missing_files(rows)
        lost = self.without(rows, lacking)
        if lost and (self.allow_missing or all(row.sample_id in self.unpublished for row in lost)):
            print(
                f"{self.title}: {len(lost)} pictures are left out, such as {lost[0].sample_id}: {lacking[0]} is not "
                "there",
                file=sys.stderr,
            )
            out = {row.sample_id for row in lost}
            rows = [row for row in rows if row.sample_id not in out]
        elif lacking:
            per_split = Counter(row.split for row in rows)
            known = ", ".join(f"{split} {count}" for split, count in per_split.items())
            remedy = f"{self.remedy}, or leave out their pictures with `allow_missing=true`"
            raise InputError(
                f"{lacking[0]} does not exist; {len(lacking)} files that {self.title} lists ({known} pictures) are not "
                f"there: unpack them, or {remedy} ({self.publisher})"
            )
        if not rows:
            raise InputError(f"{self.folder} holds no whole picture of {self.title}: {self.publisher}")
        return rows

    def wants(self, split: str) -> bool:
        """Whether a split is asked for."""
        return self.splits is None or split in self.splits

    def row(
        self,
        sample_id: str,
        split: str,
        image: Path | str,
        depth: Path | str,
        intrinsics: Sequence[float | None] = (None, None, None, None),
        **extras: Any,
    ) -> IndexRow:
        """A row of the index.

        Args:
            sample_id: the picture's path without extension, as the dataset's lists name it.
            split: train, val or test.
            image: file.
            depth: file.
            intrinsics: fx, fy, cx, cy in pixels of the stored picture; None where unknown.
            **extras: what decoding needs, and what else the dataset says of a picture; anything JSON can hold.
        """
        loading = {name: getattr(self, name) for name in ("crop", "picture_size", "depth_size")}
        extras = {**{name: value for name, value in loading.items() if value is not None}, **extras}
        fx, fy, cx, cy = intrinsics
        return IndexRow(
            dataset=self.name,
            sample_id=sample_id,
            split=split,
            domain=self.domain,
            image=str(image),
            depth=str(depth),
            unit=self.unit,
            fx=fx,
            fy=fy,
            cx=cx,
            cy=cy,
            reader=self.name,
            extras=json.loads(json.dumps(extras, default=list)),  # as a table gives it back
        )


@dataclass(frozen=True)
class ListedReader(Reader):
    """A dataset whose splits are files with a picture, its depth and its focal length per line, as BTS began it.

    Args:
        train_list: split file. Default: looked for in the root and in folders of lists below it.
        test_list: the same for the test split.

    Attributes:
        names: that the split files go by, by split.
    """

    train_list: str | None = None
    test_list: str | None = None

    names: ClassVar[Mapping[str, Sequence[str]]]

    def lists(self) -> dict[str, Path]:
        given = {"train": self.train_list, "test": self.test_list}
        wanted = [split for split in self.names if self.wants(split)]
        found = {split: find_list(self.folder, self.names[split], given[split]) for split in wanted}
        return {split: path for split, path in found.items() if path is not None}


def listed(reader: Reader) -> list[IndexRow]:
    """A reader's rows of the wanted splits, whether their files are there or not.

    Raises:
        InputError: a list that it needs is missing or malformed, or a folder cannot be read; the message names it.
        TypeError: a row is not made with `Reader.row`, or of no known split.
    """
    with reading(reader.folder):
        rows = list(reader.rows())
    for row in rows:
        if (row.dataset, row.reader) != (reader.name, reader.name):  # which something else would decode
            raise TypeError(f"the row {row.sample_id} does not name its reader: make rows with `self.row`")
        if row.split not in reader.known_splits():  # which nobody would ask for
            known = ", ".join(reader.known_splits())
            raise TypeError(f"the row {row.sample_id} is of the split {row.split!r}, and `counts` has {known}")
    return [row for row in rows if reader.wants(row.split)]


def check_crop(crop: Any, title: str) -> None:
    """Raises an InputError with a title unless a crop is one that `cut` takes."""
    if crop is None or (isinstance(crop, str) and crop == "kb"):
        return
    if not is_window(crop):
        raise InputError(f"{title}: crop must be 'kb' or top, bottom, left and right in whole pixels, not {crop!r}")


def cut(array: np.ndarray, crop: str | Sequence[int] | None, source: str) -> np.ndarray:
    """The window of `Reader.crop`.

    The benchmark crop keeps the lowest 352 rows and the middle 1216 columns (KITTI's evaluation of depth completion).

    Raises:
        InputError: the array is smaller than the window.
    """
    if crop is None:
        return array
    height, width = array.shape[:2]
    if isinstance(crop, str):
        top, left = height - KB_SIZE[0], (width - KB_SIZE[1]) // 2
        window = (top, height, left, left + KB_SIZE[1])
    else:
        window = (crop[0], crop[1], crop[2], crop[3])
    if min(window) < 0 or window[1] > height or window[3] > width:
        raise InputError(f"{source} is {height} × {width}, too small for the crop {crop}")
    return array[window[0] : window[1], window[2] : window[3]]


def resize(array: np.ndarray, size: Sequence[int] | None, interpolation: int) -> np.ndarray:
    """An array at another height and width; None leaves it."""
    if size is None or array.shape[:2] == tuple(size):
        return array
    return cv2.resize(array, (int(size[1]), int(size[0])), interpolation=interpolation)
