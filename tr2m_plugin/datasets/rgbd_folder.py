"""Anyone's pictures with depth: a folder in which the two are paired by name."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tr2m_plugin.checks import are_numbers, is_name
from tr2m_plugin.datasets.pictures import IMAGE_SUFFIXES, warn_once
from tr2m_plugin.datasets.readers import load_depth, load_picture
from tr2m_plugin.datasets.readers.base import check_crop
from tr2m_plugin.errors import InputError, attempt
from tr2m_plugin.files import read_lines, reading
from tr2m_plugin.folders import count_reasons, is_utf8, walk
from tr2m_plugin.rows import IndexRow
from tr2m_plugin.units import UNITS

ANY = ".*"
"""At a pattern's end: any extension of a picture, or of depth."""
TRIED = 10
"""Pairs that are read in search of a good one."""


@dataclass(frozen=True)
class RGBDFolder:
    """Pictures and depth maps under one folder, paired by name.

    Both are named by a pattern with one `*`, which stands for the sample id, folders included: "*_rgb.jpg" and
    "*_depth.png", or "rgb/*.jpg" and "depth/*.png". Several kinds of file go as "*_rgb.{jpg,png}", or as "*_rgb.*" for
    all that can be read. Without depth the pictures can be predicted, not evaluated.

    Args:
        root: the folder.
        image: pattern of the pictures' names below the root.
        depth: pattern of the depth maps' names. Default: no depth.
        name: name of the dataset. Default: the folder's name.
        depth_scale: factor from stored numbers to the unit: 0.001 for millimetres in a PNG that are wanted as metres.
            Needed with `depth`.
        unit: unit of depth after scaling, "m" or "mm". Needed with `depth`.
        depth_range: nearest and farthest depth evaluated, in the unit. Needed with `depth`.
        domain: indoor, outdoor, surgical or any other. Default: "".
        intrinsics: fx, fy, cx, cy in pixels. Default: unknown.
        splits: share of the pictures in each split, drawn by a hash of the sample id. Default: all in test.
        split_files: text files with a sample id per line, by split, relative to the root; pictures in none of them are
            left out, and none is in two. Default: none, the shares decide.
        assign: split of single sample ids, which overrides both; numbers are taken as they are written, 17 as "17".
        mask: pattern of pictures that are not zero where depth is valid. Default: none.
        invalid: stored numbers that mean no measurement besides 0, such as 65535 for a clipped range. Default: none.
        crop: window of picture and depth that is read: top, bottom, left and right in pixels, or `kb`. Default: all.
    """

    root: str
    image: str
    depth: str | None = None
    name: str = ""
    depth_scale: float | None = None
    unit: str | None = None
    depth_range: Sequence[float] | None = None
    domain: str = ""
    intrinsics: Sequence[float] | None = None
    splits: Mapping[str, float] = field(default_factory=lambda: {"test": 1.0})
    split_files: Mapping[str, str] = field(default_factory=dict)
    assign: Mapping[str, Sequence[str]] = field(default_factory=dict)
    mask: str | None = None
    invalid: Sequence[float] = ()
    crop: str | Sequence[int] | None = None

    def __post_init__(self) -> None:
        with reading(self.root):
            if not Path(self.root).expanduser().is_dir():
                raise InputError(f"{self.root} is not a folder")
        for pattern in filter(None, (self.image, self.depth, self.mask)):
            if pattern.removesuffix(ANY).count("*") != 1 and pattern.count("*") != 1:
                raise InputError(f"RGBDFolder {self.root}: the pattern {pattern!r} must have one *, for the sample id")
        self._check_options()
        if self.depth is None:
            return
        for option in ("depth_scale", "unit", "depth_range"):
            if getattr(self, option) is None:
                raise InputError(
                    f"RGBDFolder {self.root}: {option} is missing; depth files do not say it, so it has to be given"
                )
        if self.unit not in UNITS:
            raise InputError(f"RGBDFolder {self.root}: unit must be one of {', '.join(UNITS)}, not {self.unit!r}")

    def _check_options(self) -> None:
        scale, limits = self.depth_scale, self.depth_range
        shares = list(self.splits.values()) if isinstance(self.splits, Mapping) else []
        rules = {
            "name": (not self.name or is_name(self.name), "printable, without a slash"),
            "depth_scale": (scale is None or (are_numbers([scale]) and scale > 0), "a number above 0"),
            "depth_range": (
                limits is None or (are_numbers(limits, 2) and 0 < limits[0] < limits[1]),
                "nearest and farthest depth, two numbers above 0",
            ),
            "intrinsics": (
                self.intrinsics is None or are_numbers(self.intrinsics, 4),
                "the four numbers fx, fy, cx, cy",
            ),
            "splits": (
                are_numbers(shares) and min(shares, default=-1) >= 0 and sum(shares) > 0,
                "shares by split, numbers that are not below 0 nor all 0",
            ),
            "split_files": (
                isinstance(self.split_files, Mapping) and all(isinstance(f, str) for f in self.split_files.values()),
                "files by split",
            ),
            "assign": (
                isinstance(self.assign, Mapping)
                and all(isinstance(ids, Sequence) and not isinstance(ids, str) for ids in self.assign.values())
                and not any(isinstance(one, bool) or one is None for ids in self.assign.values() for one in ids),
                "lists of sample ids by split",
            ),
            "invalid": (are_numbers(self.invalid), "a list of numbers"),
        }
        for option, (good, wanted) in rules.items():
            if not good:
                raise InputError(f"RGBDFolder {self.root}: {option} must be {wanted}, not {getattr(self, option)!r}")
        check_crop(self.crop, f"RGBDFolder {self.root}")

    def index(self) -> list[IndexRow]:
        """One row per picture, sorted by sample id.

        Raises:
            InputError: there is no picture; a picture has no depth, or depth has no picture; none of the first ten
                pairs can be read and has one size; two files have one sample id; an assigned id does not exist or has
                two splits; a folder or a file of sample ids cannot be read.
        """
        root = Path(self.root).expanduser().resolve()
        numbers = (*IMAGE_SUFFIXES, ".npy")
        depths = {} if self.depth is None else self._files(root, self.depth, numbers)
        masks = {} if self.mask is None else self._files(root, self.mask, numbers)
        images = self._files(root, self.image, IMAGE_SUFFIXES, {*depths.values(), *masks.values()})
        if not images:
            raise InputError(f"{root} holds no file named {self.image}")
        if self.depth is not None:
            self._check_pairs(images, depths)
        if self.mask is not None:
            self._check_masks(images, masks)
        listed = {split: self._listed(root, file) for split, file in self.split_files.items()}
        assigned = {**self._assigned(listed), **self._assigned(self.assign)}
        self._check_assigned(root, assigned, images)
        low, high = self.depth_range or (None, None)
        fx, fy, cx, cy = self.intrinsics or (None,) * 4
        rows = [
            IndexRow(
                dataset=self.name or _plain_name(root.name),
                sample_id=sample,
                split=assigned.get(sample) or self._split(sample),
                domain=self.domain,
                image=str(image),
                depth=str(depths[sample]) if depths else None,
                depth_scale=self.depth_scale,
                unit=self.unit or "m",
                depth_min=low,
                depth_max=high,
                fx=fx,
                fy=fy,
                cx=cx,
                cy=cy,
                extras=self._extras(masks.get(sample)),
            )
            for sample, image in sorted(images.items())
            if sample in assigned or not listed
        ]
        if self.depth is not None:
            _find_good(rows)
        return rows

    def _assigned(self, samples: Mapping[str, Sequence[Any]]) -> dict[str, str]:
        found: dict[str, str] = {}
        for split, sample in ((split, str(sample)) for split, listed in samples.items() for sample in listed):
            if found.setdefault(sample, split) != split:
                raise InputError(
                    f"RGBDFolder {self.root}: {sample} is in the splits {found[sample]} and {split}: leave it in one"
                )
        return found

    def _check_assigned(self, root: Path, assigned: Mapping[str, str], images: Mapping[str, Path]) -> None:
        unknown = sorted(set(assigned) - set(images))
        if unknown:
            near = next((sample for sample in images if sample.lstrip("0") == unknown[0].lstrip("0")), None)
            hint = "" if near is None else f"; {near} is there: write it in quotes, '{near}'"
            raise InputError(f"{root} holds no {_named(self.image, unknown[0])}, which is assigned to a split{hint}")

    def _extras(self, mask: Path | None) -> dict[str, Any]:
        known = {"mask": None if mask is None else str(mask), "invalid": list(self.invalid), "crop": self.crop}
        return json.loads(json.dumps({name: value for name, value in known.items() if value}))

    @staticmethod
    def _listed(root: Path, file: str) -> list[str]:
        return read_lines(root / Path(file).expanduser())

    def _check_masks(self, images: Mapping[str, Path], masks: Mapping[str, Path]) -> None:
        alone = sorted(set(images) - set(masks))
        if alone and self.mask is not None:
            raise InputError(f"{images[alone[0]]} has no mask {_named(self.mask, alone[0])} to go with it")

    @staticmethod
    def _files(root: Path, pattern: str, endings: Sequence[str], without: Collection[Path] = ()) -> dict[str, Path]:
        wanted = _expression(pattern, endings)
        likely = re.compile(wanted.pattern, re.IGNORECASE)
        reasons: Counter[str] = Counter()
        found: dict[str, Path] = {}
        with reading(root):
            for path, reason in walk(root, on_error=_raise):
                name = path.relative_to(root).as_posix()
                reason = reason or (None if is_utf8(name) else "whose names are not UTF-8: rename them")
                if reason is not None:
                    reasons[reason] += 1
                    continue
                match = wanted.fullmatch(name) if path not in without else None
                if match is None and path not in without and likely.fullmatch(name):
                    reasons[f"like {pattern} but for small and large letters"] += 1
                if match and found.setdefault(match["sample"], path) != path:
                    first = found[match["sample"]]
                    raise InputError(f"{first} and {path} are both {match['sample']}: keep one of them")
        if reasons:
            warn_once(f"{root}: left out: {count_reasons(reasons)}")
        return found

    def _check_pairs(self, images: Mapping[str, Path], depths: Mapping[str, Path]) -> None:
        for have, lack, pattern in ((images, depths, self.depth), (depths, images, self.image)):
            alone = sorted(set(have) - set(lack))
            if alone and pattern is not None:
                raise InputError(
                    f"{have[alone[0]]} has no {_named(pattern, alone[0])} to go with it "
                    f"({len(alone)} of {len(have)} files are unpaired)"
                )

    def _split(self, sample: str) -> str:
        draw = int(hashlib.sha256(sample.encode()).hexdigest()[:8], 16) / 2**32 * sum(self.splits.values())
        for split, share in self.splits.items():
            draw -= share
            if draw < 0:
                return split
        return next(iter(self.splits))


def _expression(pattern: str, endings: Sequence[str]) -> re.Pattern[str]:
    """What a pattern means, with the group `sample`; `.*` at its end are those endings, in small letters or large."""
    stem = pattern.removesuffix(ANY)
    opened = stem.count("*") == 1 and stem != pattern
    ending = f"(?i:{'|'.join(map(re.escape, endings))})" if opened else ""
    parts = re.split(r"(\*|\{[^{}]*\})", stem if opened else pattern)
    known = {"*": "(?P<sample>.+)"}
    choices = {part: f"(?:{'|'.join(map(re.escape, part[1:-1].split(',')))})" for part in parts if part[:1] == "{"}
    return re.compile("".join({**known, **choices}.get(part) or re.escape(part) for part in parts) + ending)


def _plain_name(name: str) -> str:
    """A folder's name as a dataset's."""
    return "".join(char if char.isprintable() else "_" for char in name) or "pictures"


def _named(pattern: str, sample: str) -> str:
    return pattern.replace("*", sample, 1)


def _find_good(rows: Sequence[IndexRow]) -> None:
    """Raises the first error of the first few pairs, unless one of them is good."""
    failed: dict[str, str] = {}
    for row in rows[:TRIED]:
        sample = row.sample_id
        pair = [attempt(partial(load, row), sample, failed) for load in (load_picture, load_depth)]
        if not any(part is None for part in pair):
            return
    if failed:
        raise InputError(next(iter(failed.values())))


def _raise(error: OSError) -> None:
    raise error
