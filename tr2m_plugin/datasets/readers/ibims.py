"""iBims-1 (Koch et al. 2018; doi.org/10.14459/2018mp1455541)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tr2m_plugin.datasets.arrays import read_image, read_stored, to_depth
from tr2m_plugin.datasets.readers.base import Reader
from tr2m_plugin.datasets.readers.files import check_stored, find_all, find_list, load_mat, read_fields, stored_as
from tr2m_plugin.errors import InputError
from tr2m_plugin.files import read_text
from tr2m_plugin.rows import IndexRow

RAW, MAT = "ibims1_core_raw", "ibims1_core_mat"
LISTS = ("imagelist.txt", f"{RAW}/imagelist.txt", f"{MAT}/imagelist.txt")
MASKS = ("mask_invalid", "mask_transp")
SIZE = (480, 640)


@dataclass(frozen=True)
class IBims1(Reader):
    """iBims-1: 100 pictures of rooms, 480 × 640, with depth of a laser scanner, all to test on.

    Both of the publisher's archives are read, in the root or in their folder below it: `ibims1_core_raw` with
    `rgb/NAME.png`, `depth/NAME.png` (16 bits, 65535 = 50 m), masks and `calib/NAME.txt`; or `ibims1_core_mat` with one
    MATLAB 5 file per picture, whose struct `data` has the same as fields, depth in metres. Names are those of
    `imagelist.txt`, or without it all that are there.

    Depth counts where both masks are not zero: `mask_invalid` marks usable pixels, `mask_transp` those that are not
    transparent (isl-org/ZoeDepth, zoedepth/data/ibims.py).

    Args:
        mask: leave out what the masks leave out.
    """

    mask: bool = True

    name: ClassVar[str] = "ibims"
    title: ClassVar[str] = "iBims-1"
    domain: ClassVar[str] = "indoor"
    counts: ClassVar[Mapping[str, int]] = {"test": 100}
    publisher: ClassVar[str] = "TU München, doi.org/10.14459/2018mp1455541"
    remedy: ClassVar[str] = "do without masks with `mask=False`"

    def rows(self) -> Iterable[IndexRow]:
        places = {name: (self.folder / name, self.folder) for name in (RAW, MAT)}
        raw = next((folder for folder in places[RAW] if (folder / "rgb").is_dir()), None)
        mat = next((folder for folder in places[MAT] if find_all(folder, "*.mat")), None)
        masks = MASKS if self.mask else ()
        if raw is not None:
            for name in self._names(raw / "rgb", "*.png"):
                image, depth = raw / "rgb" / f"{name}.png", raw / "depth" / f"{name}.png"
                yield self.row(name, "test", image, depth, _camera(raw / "calib" / f"{name}.txt"), masks=masks)
        elif mat is not None:
            for name in self._names(mat, "*.mat"):
                file = mat / f"{name}.mat"
                yield self.row(name, "test", f"{file}#rgb", f"{file}#depth", _camera(file), masks=masks)
        else:
            raise InputError(f"{self.folder} has neither rgb/ nor .mat files, nor has {RAW} or {MAT}: {self.publisher}")

    def _names(self, folder: Path, pattern: str) -> list[str]:
        path = find_list(self.folder, LISTS)
        if path is None:
            return sorted(file.stem for file in find_all(folder, pattern))
        return [fields[0] for fields in read_fields(path, 1)]

    @staticmethod
    def files(row: IndexRow) -> list[str]:
        return [*Reader.files(row), *map(str, _mask_files(row))]

    @staticmethod
    def picture(row: IndexRow) -> np.ndarray:
        path, mark, field = row.image.partition("#")
        if not mark:
            return read_image(path, raw=True)
        picture = _fields(path, [field])[field]
        check_stored(picture, row.image, np.uint8, (*SIZE, 3))
        return picture

    @staticmethod
    def depth(row: IndexRow) -> np.ndarray:
        path, mark, field = row.truth.partition("#")
        masks: dict[str, np.ndarray]
        if mark:
            masks = _fields(path, [field, *row.extras["masks"]])
            metres = masks.pop(field)
            check_stored(metres, row.truth, (np.float64, np.float32), SIZE)
            depth = to_depth(metres)
        else:
            masks = {file.parent.name: read_stored(str(file)) for file in _mask_files(row)}
            depth = to_depth(stored_as(path, np.uint16, SIZE), 50 / 65535)
        for name, mask in masks.items():
            if mask.shape != SIZE:
                found = " × ".join(map(str, mask.shape))
                raise InputError(f"{name} of {row.truth} should be 480 × 640, as the depth, and is {found}")
            depth[mask == 0] = 0
        return depth


def _mask_files(row: IndexRow) -> list[Path]:
    """Files of a row's masks, in folders beside that of its depth; none where they are fields of its MATLAB file."""
    depth = Path(row.truth)
    return [] if "#" in depth.name else [depth.parents[1] / name / depth.name for name in row.extras["masks"]]


def _fields(path: Path | str, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Fields of the struct `data` of a MATLAB file, which scipy reads as an array of one record."""
    data: Any = load_mat(path, "data")
    known = data.dtype.names or ()
    for name in names:
        if name not in known:
            raise InputError(f"{path}: data has no field {name}, only {', '.join(known)}")
    return {name: data[name][0][0] for name in names}


def _camera(path: Path) -> Sequence[float | None]:
    """fx, fy, cx, cy of a file that has them with commas between, or of a MATLAB file's camera matrix."""
    if not path.is_file():
        return (None, None, None, None)
    if path.suffix == ".mat":
        matrix = _fields(path, ["calib"])["calib"].astype(np.float64)
        check_stored(matrix, f"{path}#calib", np.float64, (3, 3))
        # transposed, as MATLAB has it
        return [float(matrix[index]) for index in ((0, 0), (1, 1), (2, 0), (2, 1))]
    text = read_text(path)
    try:
        fx, fy, cx, cy = map(float, text.split(","))
    except ValueError as error:
        raise InputError(f"{path} is not fx,fy,cx,cy: {error}") from error
    return fx, fy, cx, cy
