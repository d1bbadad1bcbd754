"""HyperSim (Roberts et al. 2021; apple/ml-hypersim)."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from tr2m_plugin.datasets.arrays import to_depth
from tr2m_plugin.datasets.readers.base import Reader
from tr2m_plugin.datasets.readers.files import check_stored, find_all, find_list
from tr2m_plugin.errors import InputError, require
from tr2m_plugin.files import reading
from tr2m_plugin.rows import IndexRow

SPLIT_CSV = "metadata_images_split_scene_v1.csv"
COLUMNS = ("scene_name", "camera_name", "frame_id", "included_in_public_release", "split_partition_name")
CAMERA_CSV = "metadata_camera_parameters.csv"
MATRIX = tuple(f"M_cam_from_uv_{row}{column}" for row in range(3) for column in range(3))
"""Columns of the publisher's table of cameras: what takes u, v (-1 to 1, v upwards) and 1 to a point of a ray."""
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
    `dataset`, 768 × 1024, float16 with gzip, or float32, metres); it is made planar:

        z = distance · f / sqrt(u² + v² + f²),  u = column − 511.5,  v = row − 383.5,  f = 886.81

    (apple/ml-hypersim, README.md), as everybody does who publishes numbers. By the publisher's table of cameras
    (`metadata_camera_parameters.csv`, M_cam_from_uv) that is off by more than 0.1 % somewhere in the picture in 206 of
    365 scenes to train on, 30 of 46 to validate and 20 of 46 to test, where it is 5.2 % at most; `planar="exact"` takes
    the scene's own matrix M instead:

        z = distance · |p₃| / |p|,  p = M · ((2 · column + 1) / 1024 − 1, 1 − (2 · row + 1) / 768, 1)

    One picture of those to train on has no depth in the publisher's archive (frame 53 of ai_006_001, cam_00;
    apple/ml-hypersim, issue 7), and is left out.

    Args:
        planar: `focal`, with f for all scenes, or `exact`.
        camera_csv: the publisher's table of cameras, for `exact`. Default: looked for as `split_csv`.
        split_csv: the publisher's table of splits. Default: looked for in the root, in folders of lists below it, and
            where the publisher's repository has its tables (`evermotion_dataset/analysis`, `contrib/mikeroberts3000`).
    """

    planar: Literal["focal", "exact"] = "focal"
    split_csv: str | None = None
    camera_csv: str | None = None

    name: ClassVar[str] = "hypersim"
    title: ClassVar[str] = "HyperSim"
    domain: ClassVar[str] = "indoor"
    counts: ClassVar[Mapping[str, int]] = {"train": 59543, "val": 7386, "test": 7690}
    publisher: ClassVar[str] = "Apple, github.com/apple/ml-hypersim: folders ai_*, preview pictures and geometry"
    unpublished: ClassVar[frozenset[str]] = frozenset(
        {"ai_006_001/images/scene_cam_00_final_preview/frame.0053.tonemap"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.planar not in ("focal", "exact"):
            raise InputError(f"HyperSim: planar must be focal or exact, not {self.planar!r}")

    def rows(self) -> Iterable[IndexRow]:
        inside = self.folder / "data"
        home = inside if find_all(inside, "ai_*") else self.folder
        path = find_list(self.folder, _places(SPLIT_CSV), self.split_csv)
        cameras = self._cameras()
        if path is not None:
            yield from self._listed(home, path, cameras)
        elif self.splits is None or set(self.splits) == {"test"}:
            for image in find_all(home, "ai_*/images/scene_cam_*_final_preview/*.tonemap.jpg"):
                yield self._row(home, image, "test", cameras)
        else:
            raise InputError(f"{self.folder} has no {SPLIT_CSV}, which tells {', '.join(self.counts)} apart")

    def _listed(self, home: Path, path: Path, cameras: Mapping[str, list[float]] | None) -> Iterable[IndexRow]:
        scenes = {folder.name for folder in find_all(home, "ai_*")}
        for line, record in _records(path, COLUMNS, SPLIT_CSV):
            scene, camera, frame, public, split = record
            if scene not in scenes or public.lower() != "true" or not self.wants(split):
                continue
            if split not in self.counts or not frame.isdecimal():
                raise InputError(f"{path}, line {line}: {frame!r} of {split!r} is no frame of a split")
            name = f"frame.{int(frame):04d}.tonemap.jpg"
            yield self._row(home, home / scene / "images" / f"scene_{camera}_final_preview" / name, split, cameras)

    def _cameras(self) -> dict[str, list[float]] | None:
        """Matrices by scene, row by row; None where they are not asked for."""
        if self.planar == "focal":
            return None
        path = find_list(self.folder, _places(CAMERA_CSV), self.camera_csv)
        if path is None:
            raise InputError(f"{self.folder} has no {CAMERA_CSV}, which exact planar depth needs: {self.publisher}")
        records = _records(path, ("scene_name", *MATRIX), CAMERA_CSV)
        try:
            return {scene: [float(number) for number in numbers] for _, (scene, *numbers) in records}
        except InputError:
            raise
        except ValueError as error:
            raise InputError(f"{path} has a camera that is no matrix of numbers: {error}") from error

    def _row(self, home: Path, image: Path, split: str, cameras: Mapping[str, list[float]] | None) -> IndexRow:
        sample = image.relative_to(home).as_posix().removesuffix(".jpg")
        folder = image.parent.with_name(image.parent.name.replace("_final_preview", "_geometry_hdf5"))
        depth = folder / image.name.replace(".tonemap.jpg", ".depth_meters.hdf5")
        if cameras is None:
            return self.row(sample, split, image, depth, (FOCAL, FOCAL, *CENTRE))
        scene = sample.partition("/")[0]
        if scene not in cameras:
            raise InputError(f"{CAMERA_CSV} has no line of {scene}, which exact planar depth needs")
        return self.row(sample, split, image, depth, _intrinsics(cameras[scene]), camera=cameras[scene])

    @staticmethod
    def depth(row: IndexRow) -> np.ndarray:
        distance = _read_hdf5(row.truth)
        check_stored(distance, row.truth, (np.float16, np.float32), SIZE)
        camera = row.extras.get("camera")
        return to_depth(distance.astype(np.float32) * (_exact(tuple(camera)) if camera else _planar()))


def _places(name: str) -> list[str]:
    """Where the publisher's repository has a table, and the root itself."""
    return [name, *(f"{folder}/{name}" for folder in ("evermotion_dataset/analysis", "contrib/mikeroberts3000"))]


def _records(path: Path, columns: Sequence[str], title: str) -> Iterator[tuple[int, list[str]]]:
    """Some columns of a table of the publisher's, with the number of the line."""
    with reading(path), path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        table = csv.DictReader(file)
        lacking = [column for column in columns if column not in (table.fieldnames or ())]
        if lacking:
            raise InputError(f"{path} has no column {', '.join(lacking)}: is it the published {title}?")
        for record in table:
            yield table.line_num, [record[column] or "" for column in columns]


def _intrinsics(camera: Sequence[float]) -> tuple[float | None, ...]:
    """fx, fy, cx, cy in pixels of a camera without tilt; None for others, which are no pinhole of this kind."""
    a, skew, left, other, b, up, *last = camera
    if skew or other or last[0] or last[1] or not a or not b:
        return None, None, None, None
    (height, width), depth = SIZE, -last[2]
    fx, fy = depth * width / (2 * a), depth * height / (2 * b)
    return fx, fy, CENTRE[0] - fx * left / depth, CENTRE[1] + fy * up / depth


@lru_cache(maxsize=4)
def _exact(camera: tuple[float, ...]) -> np.ndarray:
    """Planar depth per unit of distance, (768, 1024) float32, of a scene's own camera."""
    v, u = np.mgrid[: SIZE[0], : SIZE[1]]
    flat = np.stack([(2 * u + 1) / SIZE[1] - 1, 1 - (2 * v + 1) / SIZE[0], np.ones(SIZE)], -1)
    points = flat @ np.reshape(camera, (3, 3)).T
    return (np.abs(points[..., 2]) / np.linalg.norm(points, axis=-1)).astype(np.float32)


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
