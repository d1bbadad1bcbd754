"""DIODE, outdoor scenes (Vasiljevic et al. 2019; diode-dataset.org)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from tr2m_plugin.datasets.arrays import read_stored, to_depth
from tr2m_plugin.datasets.readers.base import Reader
from tr2m_plugin.datasets.readers.files import check_stored, find_all, stored_as
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import IndexRow

PARTITIONS = {"train": "train", "val": "test"}
"""Our split by the publisher's: its validation set is what everybody tests on, for its test set is not out."""
SIZE = (768, 1024)
CAMERA = (886.81, 927.06, 512.0, 384.0)
"""fx, fy, cx, cy of every picture, in pixels."""


@dataclass(frozen=True)
class DIODEOutdoor(Reader):
    """DIODE's outdoor scenes: 16,884 pictures to train on; the 446 of its validation set are the split `test`.

    The root is the folder with `train` and `val`, or one of these, or the folder `outdoor` in it. Every
    `outdoor/SCENE/SCAN/*.png` is listed: the publisher's diode_meta.json (diode-dataset/diode-devkit) lacks 54 of the
    446 that prs-eth/Marigold lists and that ZoeDepth and Depth Anything find by their names. Depth is
    `NAME_depth.npy`, 768 × 1024 × 1 float32 in metres, and `NAME_depth_mask.npy`, float32 or float64, is 1 where it is
    valid.

    Args:
        mask: depth outside the mask is no measurement. Without it masks are not read, as ZoeDepth and Depth Anything
            do (isl-org/ZoeDepth, zoedepth/data/diode.py). Default: True.
    """

    mask: bool = True

    name: ClassVar[str] = "diode"
    title: ClassVar[str] = "DIODE Outdoor"
    domain: ClassVar[str] = "outdoor"
    counts: ClassVar[Mapping[str, int]] = {"train": 16884, "test": 446}
    publisher: ClassVar[str] = "TTI Chicago, diode-dataset.org: train.tar.gz and val.tar.gz of DIODE Depth"
    remedy: ClassVar[str] = "leave their split out with `splits`, or do without masks with `mask=False`"

    def rows(self) -> Iterable[IndexRow]:
        for partition, folder in self._partitions().items():
            if not self.wants(PARTITIONS[partition]):
                continue
            for image in find_all(folder, "*/*/*.png"):
                sample = f"{partition}/outdoor/{image.relative_to(folder).with_suffix('').as_posix()}"
                depth = image.with_name(f"{image.stem}_depth.npy")
                yield self.row(sample, PARTITIONS[partition], image, depth, CAMERA, mask=self.mask)

    @staticmethod
    def files(row: IndexRow) -> list[str]:
        return [*Reader.files(row), *([_mask_of(row)] if row.extras["mask"] else [])]

    def _partitions(self) -> dict[str, Path]:
        """Folders of outdoor scenes by the publisher's name of their partition."""
        inside = {name: self.folder / name / "outdoor" for name in PARTITIONS}
        if any(folder.is_dir() for folder in inside.values()):
            return inside
        partition = self.folder.parent if self.folder.name == "outdoor" else self.folder
        if (partition / "outdoor").is_dir() and partition.name not in PARTITIONS:
            raise InputError(f"{partition} holds scenes of {self.title} but is neither train nor val: which is it?")
        return {partition.name: partition / "outdoor"} if partition.name in PARTITIONS else {}

    @staticmethod
    def depth(row: IndexRow) -> np.ndarray:
        depth = to_depth(stored_as(row.truth, np.float32, SIZE))
        if not row.extras["mask"]:
            return depth
        mask = read_stored(_mask_of(row), "bfiu")
        check_stored(mask, _mask_of(row), mask.dtype.type, SIZE)
        return np.where(mask > 0, depth, np.float32(0))


def _mask_of(row: IndexRow) -> str:
    return row.truth.removesuffix(".npy") + "_mask.npy"
