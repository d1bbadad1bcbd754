"""C3VD, colonoscopy of a phantom (Bobrow et al. 2023; durrlab.github.io/C3VD)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from tr2m_plugin.datasets.arrays import to_depth
from tr2m_plugin.datasets.readers.base import Reader
from tr2m_plugin.datasets.readers.files import find_all, find_numbered, stored_as
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import IndexRow

VIDEOS = {
    **{"cecum_t1_a": 276, "cecum_t1_b": 765, "cecum_t2_a": 370, "cecum_t2_b": 1142, "cecum_t2_c": 595},
    **{"cecum_t3_a": 730, "cecum_t4_a": 465, "cecum_t4_b": 425, "desc_t4_a": 148},
    **{"sigmoid_t1_a": 700, "sigmoid_t2_a": 514, "sigmoid_t3_a": 613, "sigmoid_t3_b": 536},
    **{"trans_t1_a": 61, "trans_t1_b": 700, "trans_t2_a": 194, "trans_t2_b": 103, "trans_t2_c": 235},
    **{"trans_t3_a": 250, "trans_t3_b": 214, "trans_t4_a": 382, "trans_t4_b": 597},
}
"""Published number of frames of the 22 videos with depth."""

WHOLE, PARTS = "desc_t4_a", ("desc_t4_a_p1", "desc_t4_a_p2")
"""The video that the undistorted set has in two parts, the second of frames 0074 to 0147."""
SEGMENTS = {"cecum": "cecum", "descending": "desc", "sigmoid": "sigmoid", "transverse": "trans"}

TEST = (
    *("cecum_t1_a", "cecum_t2_a", "cecum_t3_a", "desc_t4_a_p2"),
    *("sigmoid_t3_a", "trans_t2_a", "trans_t3_a", "trans_t4_a"),
)
SPLIT = {"train": tuple(sorted({*VIDEOS, *PARTS} - {*TEST})), "test": TEST}
"""PPSNet's lists (Roni-Lab/PPSNet, C3VD_splits), with the whole of desc_t4_a in train."""


@dataclass(frozen=True)
class C3VD(Reader):
    """C3VD: 10,015 frames of 22 videos, registered to a model of the colon.

    The root holds one folder per video: the 22 of the publisher, or the 23 of the undistorted set, where desc_t4_a is
    two. Names from before 2023-10-14 end in `_under_review`, which sample ids drop; the publisher's new names, such as
    `c0_descending_t4_v1` (C3VD_data_summary_registered.csv), become the old ones there, `desc_t4_a`. A frame is
    `0000_color.png` with `0000_depth.tiff`, in the folder itself or, in the undistorted set, also in `images` and
    `depths` below it. Older releases do not pad the numbers; frames are paired by number and keep the name of their
    picture. Other folders, such as the videos without depth, are passed over.

    The split is PPSNet's: 8 videos to test on, the others to train on. It has desc_t4_a in two parts, one in each. The
    whole video goes to train, since a part of it is trained on, and is passed over where a part is there. `counts` are
    those of the 22 videos: how many frames each part has is not published. By one third party the second part is frames
    0074 to 0147, which makes 2,889 frames to test on.

    Depth is a TIFF of 16 bits, along the optical axis, 0 to 100 mm as 0 to 65535; both ends are clipped values, no
    measurement (DurrLab/C3VD, exampleDataLoader.py). The camera is omnidirectional, so the four intrinsics are unknown.

    Args:
        split: videos of train, val and test, to replace PPSNet's. Videos that it does not name are left out, and those
            that it names must be there.
    """

    split: Mapping[str, Sequence[str]] | None = None

    name: ClassVar[str] = "c3vd"
    title: ClassVar[str] = "C3VD"
    domain: ClassVar[str] = "surgical"
    unit: ClassVar[str] = "mm"
    counts: ClassVar[Mapping[str, int]] = {
        "train": sum(VIDEOS.get(video, 0) for video in SPLIT["train"]),
        "test": sum(VIDEOS.get(video, 0) for video in SPLIT["test"]),
    }
    publisher: ClassVar[str] = "Johns Hopkins University, durrlab.github.io/C3VD; the split is from PPSNet"

    @classmethod
    def known_splits(cls) -> tuple[str, ...]:
        return "train", "val", "test"

    @classmethod
    def is_whole(cls, count: int) -> bool:
        """Whether that many pictures are the test split; nobody states how many frames desc_t4_a_p2 has."""
        return 0 <= count - cls.counts["test"] <= VIDEOS["desc_t4_a"]

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self.split or {}
        unknown = sorted(set(given) - set(self.known_splits()))
        if unknown:
            raise InputError(f"C3VD: split has {', '.join(unknown)}; it may have {', '.join(self.known_splits())}")
        times = Counter(video for videos in given.values() for video in videos)
        strange = sorted(set(times) - {*VIDEOS, *PARTS})
        if strange:
            raise InputError(f"C3VD: split names {', '.join(strange)}; videos are {', '.join((*VIDEOS, *PARTS))}")
        if times and max(times.values()) > 1:
            raise InputError(f"C3VD: split names {', '.join(video for video in times if times[video] > 1)} twice")

    def rows(self) -> Iterable[IndexRow]:
        found = self._folders()
        for split, videos in self._split(found).items():
            for video in videos:
                if video in found or self.split is not None:
                    yield from self._frames(video, split, found.get(video, self.folder / video))

    def published(self) -> dict[str, dict[str, int]]:
        split = self._split(self._folders())
        return {name: {video: VIDEOS[video] for video in videos if video in VIDEOS} for name, videos in split.items()}

    @staticmethod
    def video(row: IndexRow) -> str:
        return row.sample_id.partition("/")[0]

    def _split(self, found: Iterable[str]) -> dict[str, list[str]]:
        """Videos of the wanted splits; PPSNet's is without the whole of the video that a part was found of."""
        passed = {WHOLE} if self.split is None and not {*PARTS}.isdisjoint(found) else set()
        split = {name: videos for name, videos in (self.split or SPLIT).items() if self.wants(name)}
        return {name: [video for video in videos if video not in passed] for name, videos in split.items()}

    def _folders(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for folder in find_all(self.folder, "*"):
            video = _old_name(folder.name)
            if video not in (*VIDEOS, *PARTS) or not folder.is_dir():
                continue
            if video in found:
                raise InputError(f"{found[video]} and {folder} are the same video: keep one of them")
            found[video] = folder
        return found

    def _frames(self, video: str, split: str, folder: Path) -> Iterable[IndexRow]:
        apart = (folder / "images").is_dir()
        images, depths = (folder / "images", folder / "depths") if apart else (folder, folder)
        pictures, measured = find_numbered(images, r"(\d+)_color\.png"), find_numbered(depths, r"(\d+)_depth\.tiff")
        # a folder without a picture has a row all the same, so that `index` reports it
        for number, image in (pictures or {0: images / "0000_color.png"}).items():
            frame = image.name.removesuffix("_color.png")
            yield self.row(f"{video}/{frame}", split, image, measured.get(number, depths / f"{frame}_depth.tiff"))

    @staticmethod
    def depth(row: IndexRow) -> np.ndarray:
        stored = stored_as(row.truth, np.uint16)
        return to_depth(np.where(stored == 65535, 0, stored), 100 / 65535)


def _old_name(folder: str) -> str:
    """A video's first name, by its folder's: `c0_cecum_t1_v2` was `cecum_t1_b`."""
    match = re.fullmatch(r"c0_([a-z]+)_(t\d)_v([1-9])(_p\d)?", folder.removesuffix("_under_review"))
    if not match or match[1] not in SEGMENTS:
        return folder.removesuffix("_under_review")
    return f"{SEGMENTS[match[1]]}_{match[2]}_{chr(ord('a') + int(match[3]) - 1)}{match[4] or ''}"
