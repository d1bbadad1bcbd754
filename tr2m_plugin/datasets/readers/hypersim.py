"""HyperSim (Roberts et al. 2021; apple/ml-hypersim)."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tr2m_plugin.datasets.arrays import to_depth
from tr2m_plugin.datasets.readers.base import Reader
from tr2m_plugin.datasets.readers.files import check_stored, find_all, find_list
from tr2m_plugin.errors import InputError, require
from tr2m_plugin.files import reading

SPLIT_CSV = "metadata_images_split_scene_v1.csv"
COLUMNS = ("scene_name", "camera_name", "frame_id", "included_in_public_release", "split_partition_name")
SIZE = (768, 1024)
FOCAL = 886.81
"""In pixels; the publisher's, of a pinhole without tilt and shift, which some scenes have."""
CENTRE = (511.5, 383.5)
"""cx and cy in pixels: the middle of the picture, where the first pixel's centre is 0."""


@dataclass(frozen=True)
class HyperSim(Reader):
    """HyperSim: 59,543, 7,386 and 7,690 tone-mapped pictures of 365, 46 and 46 rendered scenes.

    Scenes `ai_VVV_NNN` are in the root or in its folder `data`. The publisher's split is read from its CSV; scenes
    that are not there are left out, so that one can unpack those of a split only. Without the CSV all that is there
    is the split `test`, as for ZoeDepth and Depth Anything (isl-org/ZoeDepth, zoedepth/data/hypersim.py).

    Depth is stored as distance to the optical centre, NaN where there is no surface (frame.IIII.depth_meters.hdf5,
    `dataset`, 768 × 1024, float16 or float32, metres); it is made planar:

        z = distance · f / sqrt(u² + v² + f²),  u = column − 511.5,  v = row − 383.5,  f = 886.81

    (apple/ml-hypersim, README.md).

    Args:
        split_csv: the publisher's table of splits. Default: looked for in the root, in folders of lists below it and
            in `evermotion_dataset/analysis`.
    """

    split_csv: str | None = None

    name: ClassVar[str] = "hypersim"
    title: ClassVar[str] = "HyperSim"
    domain: ClassVar[str] = "indoor"
    counts: ClassVar[Mapping[str, int]] = {"train": 59543, "val": 7386, "test": 7690}
    publisher: ClassVar[str] = "Apple, github.com/apple/ml-hypersim: folders ai_*, preview pictures and geometry"

    def rows(self) -> Iterable[dict[str, Any]]:
        inside = self.folder / "data"
        home = inside if find_all(inside, "ai_*") else self.folder
        names = [SPLIT_CSV, f"evermotion_dataset/analysis/{SPLIT_CSV}"]
        path = find_list(self.folder, names, self.split_csv)
        if path is not None:
            yield from self._listed(home, path)
        elif self.splits is None or set(self.splits) == {"test"}:
            for image in find_all(home, "ai_*/images/scene_cam_*_final_preview/*.tonemap.jpg"):
                yield self._row(home, image, "test")
        else:
            raise InputError(f"{self.folder} has no {SPLIT_CSV}, which tells {', '.join(self.counts)} apart")

    def _listed(self, home: Path, path: Path) -> Iterable[dict[str, Any]]:
        scenes = {folder.name for folder in find_all(home, "ai_*")}
        with reading(path), path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            table = csv.DictReader(file)
            lacking = [column for column in COLUMNS if column not in (table.fieldnames or ())]
            if lacking:
                raise InputError(f"{path} has no column {', '.join(lacking)}: is it the published {SPLIT_CSV}?")
            for record in table:
                scene, camera, frame, public, split = (record[column] or "" for column in COLUMNS)
                if scene not in scenes or public.lower() != "true" or not self.wants(split):
                    continue
                if split not in self.counts or not frame.isdecimal():
                    raise InputError(f"{path}, line {table.line_num}: {frame!r} of {split!r} is no frame of a split")
                name = f"frame.{int(frame):04d}.tonemap.jpg"
                yield self._row(home, home / scene / "images" / f"scene_{camera}_final_preview" / name, split)

    def _row(self, home: Path, image: Path, split: str) -> dict[str, Any]:
        sample = image.relative_to(home).as_posix().removesuffix(".jpg")
        folder = image.parent.with_name(image.parent.name.replace("_final_preview", "_geometry_hdf5"))
        depth = folder / image.name.replace(".tonemap.jpg", ".depth_meters.hdf5")
        return self.row(sample, split, image, depth, (FOCAL, FOCAL, *CENTRE))

    @staticmethod
    def depth(row: Mapping[str, Any]) -> np.ndarray:
        distance = _read_hdf5(row["depth"])
        check_stored(distance, row["depth"], (np.float16, np.float32), SIZE)
        return to_depth(distance.astype(np.float32) * _planar())


@lru_cache(maxsize=1)
def _planar() -> np.ndarray:
    """Planar depth per unit of distance, (768, 1024) float32: the cosine of the angle to the optical axis."""
    v, u = np.ogrid[: SIZE[0], : SIZE[1]]
    return (FOCAL / np.sqrt((u - CENTRE[0]) ** 2 + (v - CENTRE[1]) ** 2 + FOCAL**2)).astype(np.float32)


def _read_hdf5(source: str) -> np.ndarray:
    h5py = require("h5py", "to read HyperSim's depth", "data")
    with reading(source):
        if not Path(source).is_file():
            raise InputError(f"{source} does not exist")
    try:
        with h5py.File(source, "r") as file:
            names = list(file)
            if "dataset" in names:
                return file["dataset"][()]
    except Exception as error:  # what a broken file makes of a decoder is anybody's guess
        raise InputError(f"{source} is not a whole HDF5 file: {error}") from error
    raise InputError(f"{source} has no array 'dataset', only {', '.join(names)}")
