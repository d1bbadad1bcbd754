"""KITTI, Eigen split (Geiger et al. 2013, Uhrig et al. 2017, Eigen et al. 2014; cvlibs.net/datasets/kitti)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from tr2m_plugin.datasets.arrays import to_depth
from tr2m_plugin.datasets.readers.base import ListedReader
from tr2m_plugin.datasets.readers.files import below, find_first, focal_length, read_fields, stored_as
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import IndexRow

PICTURES = ("raw", "raw_data", "kitti_raw", "input", ".")
DEPTHS = ("gts", "gt", "data_depth_annotated", "data_depth_annotated_zoedepth", "groundtruth", ".")
NO_TRUTH = "None"
"""Ground truth of 45 of the 697 lines of the test list; the annotated depth lacks those pictures."""


@dataclass(frozen=True)
class KITTI(ListedReader):
    """KITTI's Eigen split: 23,158 pictures of 33 drives to train on, and the 652 of 697 test pictures that have depth.

    Pictures are those of the raw data (`2011_09_26/2011_09_26_drive_0002_sync/image_02/data/0000000005.png`), depth is
    the annotated one (`2011_09_26_drive_0002_sync/proj_depth/groundtruth/image_02/0000000005.png`, in 1/256 m). The
    lists are those of BTS and its followers (cleinc/bts; in isl-org/ZoeDepth with `kitti_` before their names), or
    RSA's, whose test list has only the 652 lines (Adonis-galaxy/RSA). They expect the drives of
    `data_depth_annotated.zip` in one folder; below its `train/` and `val/`, as published, or below a folder of their
    date (aliyun/NeWCRFs) they are found too.

    Sizes differ by day, about 370 to 376 × 1224 to 1242; the field evaluates with `crop="kb"`.

    Args:
        pictures: folder of the raw data, relative to the root or absolute. Default: the first of `PICTURES` that is
            there.
        depths: folder of the ground truth, relative to the root or absolute. Default: the first of `DEPTHS` that is
            there.
    """

    pictures: str | None = None
    depths: str | None = None

    name: ClassVar[str] = "kitti"
    title: ClassVar[str] = "KITTI"
    domain: ClassVar[str] = "outdoor"
    names: ClassVar[Mapping[str, Sequence[str]]] = {
        split: [f"{beginning}eigen_{split}_files_with_gt.txt" for beginning in ("", "kitti_")]
        for split in ("train", "test")
    }
    counts: ClassVar[Mapping[str, int]] = {"train": 23158, "test": 652}
    publisher: ClassVar[str] = (
        "KIT, cvlibs.net/datasets/kitti: the raw data, and data_depth_annotated.zip of the depth benchmark; the lists "
        "come from BTS, github.com/cleinc/bts"
    )
    digests: ClassVar[Mapping[str, Sequence[str]]] = {
        "train": ["bb76b2f96dfaac75d6f860370924a261"],
        "test": ["031e751e34f3411e16f9d3f8aa3a67fc", "f9eeeb95be363933f689f6445e86a7fa"],  # BTS's, RSA's
    }

    def rows(self) -> Iterable[IndexRow]:
        lists = self.lists()
        if not lists:
            wanted = [self.names[split][0] for split in self.names if self.wants(split)]
            raise InputError(f"{self.folder} has none of {', '.join(wanted)}: {self.publisher}")
        for split, path in lists.items():
            yield from self._listed(split, path)

    def _listed(self, split: str, path: Path) -> Iterable[IndexRow]:
        pictures = find_first(self.folder, PICTURES, "folder of raw pictures", self.pictures)
        depths = find_first(self.folder, DEPTHS, "folder of ground truth", self.depths)
        homes: dict[str, Path] = {}
        for image, depth, text in (fields[:3] for fields in read_fields(path, 3)):
            if depth == NO_TRUTH:
                continue
            drive = depth.lstrip("/").partition("/")[0]
            if drive not in homes:
                homes[drive] = _home(depths, drive)
            sample, focal = image.lstrip("/").rpartition(".")[0], focal_length(text, path)
            camera = (focal, focal, None, None)
            yield self.row(sample, split, below(pictures, image), below(homes[drive], depth), camera)

    @staticmethod
    def depth(row: IndexRow) -> np.ndarray:
        return to_depth(stored_as(row.truth, np.uint16), 1 / 256)


def _home(depths: Path, drive: str) -> Path:
    """The folder that holds a drive's ground truth; the one that the lists expect if none does."""
    homes = (depths, depths / "train", depths / "val", depths / drive[: len("2011_09_26")])
    return next((home for home in homes if (home / drive).is_dir()), depths)
