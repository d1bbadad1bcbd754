"""SimCol3D, rendered colonoscopy (Rau et al. 2023; doi.org/10.5522/04/24077763)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from tr2m_plugin.datasets.arrays import to_depth
from tr2m_plugin.datasets.readers.base import Reader
from tr2m_plugin.datasets.readers.files import find_all, find_numbered, read_fields, stored_as
from tr2m_plugin.errors import InputError
from tr2m_plugin.files import reading
from tr2m_plugin.rows import IndexRow

SCENES = {"S": "SyntheticColon_I", "B": "SyntheticColon_II", "O": "SyntheticColon_III"}
"""Folders by the letter of their trajectories."""

TRAJECTORIES = {
    **{f"{scene}{number}": 1201 for scene in "SB" for number in range(1, 16)},
    **{f"O{number}": 601 for number in range(1, 4)},
}
"""Published number of frames of every trajectory."""

TEST = ("S5", "S10", "S15", "B5", "B10", "B15", "O1", "O2", "O3")
VAL = ("S4", "S9", "S14", "B4", "B9", "B14")
"""The challenge's trajectories to test and to validate on (anitarau/simcol); the others are to train on."""

LIST = "misc/test_file.txt"
SIZE = (475, 475)
CAMERA = (227.6, 237.5, 227.6, 237.5)
"""fx, fy, cx, cy in pixels (anitarau/simcol, data_helpers/visualize_3D_data.py)."""


@dataclass(frozen=True)
class SimCol3D(Reader):
    """SimCol3D: 37,833 frames along 33 trajectories through three rendered colons.

    A frame is `SyntheticColon_I/Frames_S1/FrameBuffer_0000.png` (RGBA of 16 bits, of which the first three channels
    count) with `Depth_0000.png` beside it; folders named as in the challenge's test,
    `SyntheticColon_I_Test/Frames_S5_OP`, are read too, where the trajectory is not there under its plain name.
    Trajectories that are not there are passed over.

    The split is the challenge's. Where the root has `misc/test_file.txt`, the test split is what it names, all of which
    must be there: a line is a path with `Frames_` and the trajectory. What the challenge tests on and the file does not
    name then belongs to train.

    Depth is a PNG of 16 bits, 475 × 475, with 65280 = 20 cm (anitarau/simcol, evaluation/eval_synthetic_depth.py). Its
    numbers are multiples of 256: eight bits count, in steps of 0.78 mm.
    """

    name: ClassVar[str] = "simcol"
    title: ClassVar[str] = "SimCol3D"
    domain: ClassVar[str] = "surgical"
    unit: ClassVar[str] = "mm"
    counts: ClassVar[Mapping[str, int]] = {
        "train": sum(TRAJECTORIES.values()) - sum(TRAJECTORIES[name] for name in (*VAL, *TEST)),
        "val": sum(TRAJECTORIES[name] for name in VAL),
        "test": sum(TRAJECTORIES[name] for name in TEST),
    }
    publisher: ClassVar[str] = "University College London, doi.org/10.5522/04/24077763"

    def rows(self) -> Iterable[IndexRow]:
        found, listed = self._folders(), self._listed()
        for name in listed or ():
            found.setdefault(name, self.folder / SCENES[name[0]] / f"Frames_{name}")
        for split, names in self._split(listed).items():
            for name in filter(found.__contains__, names):
                yield from self._frames(split, found[name])

    def published(self) -> dict[str, dict[str, int]]:
        split = self._split(self._listed())
        return {name: {trajectory: TRAJECTORIES[trajectory] for trajectory in split[name]} for name in split}

    @staticmethod
    def video(row: IndexRow) -> str:
        return _trajectory(row.sample_id.split("/")[-2])

    def _split(self, listed: Sequence[str] | None) -> dict[str, list[str]]:
        """Trajectories of the wanted splits: the challenge's, or the listed ones to test on."""
        test = TEST if listed is None else listed
        splits = {name: "test" if name in test else "val" if name in VAL else "train" for name in TRAJECTORIES}
        return {split: [name for name in splits if splits[name] == split] for split in self.counts if self.wants(split)}

    def _folders(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        # plain names first
        folders = find_all(self.folder, "SyntheticColon_*/Frames_*")
        for folder in sorted(folders, key=lambda path: path.name.endswith("_OP")):
            name = _trajectory(folder.name)
            if name in TRAJECTORIES and folder.is_dir():
                found.setdefault(name, folder)
        return found

    def _listed(self) -> list[str] | None:
        path = self.folder / LIST
        with reading(path):
            if not path.is_file():
                return None
        names = []
        for line in map(" ".join, read_fields(path, 1)):
            match = re.search(r"Frames_([SBO]\d+)", line)
            if not match or match[1] not in TRAJECTORIES:
                raise InputError(f"{path}: {line!r} names no trajectory, as in SyntheticColon_I/Frames_S5")
            names.append(match[1])
        if not names:
            raise InputError(f"{path} names no trajectory: restore it, or remove it for the challenge's split")
        return names

    def _frames(self, split: str, folder: Path) -> Iterable[IndexRow]:
        images = list(find_numbered(folder, r"FrameBuffer_(\d+)\.png").values())
        # a folder without a picture has a row all the same, so that `index` reports it
        for image in images or [folder / "FrameBuffer_0000.png"]:
            sample = image.relative_to(self.folder).with_suffix("").as_posix()
            yield self.row(sample, split, image, folder / image.name.replace("FrameBuffer", "Depth"), CAMERA)

    @staticmethod
    def depth(row: IndexRow) -> np.ndarray:
        return to_depth(stored_as(row.truth, np.uint16, SIZE), 200 / 65280)


def _trajectory(folder: str) -> str:
    """The trajectory that a folder's name is of."""
    return folder.removeprefix("Frames_").removesuffix("_OP")
