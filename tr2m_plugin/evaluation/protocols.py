"""How a prediction meets the truth: size, window, range and clamp. Nothing else in the package knows these.

The protocols of published datasets are data, one file per dataset in `protocol_files/NAME`: `release` is that of the
paper's authors (BeileiCui/TR2M), `zoedepth` that of ZoeDepth and Depth Anything, whose numbers the paper's Table 3 has.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tr2m_plugin.checks import are_numbers, is_window
from tr2m_plugin.errors import InputError
from tr2m_plugin.files import read_text
from tr2m_plugin.plain_yaml import parse_yaml
from tr2m_plugin.rows import IndexRow
from tr2m_plugin.tensors import resize_prediction

FOLDER = Path(__file__).with_name("protocol_files")
PROTOCOLS = ("release", "zoedepth")
"""Names of the protocols that come with the package."""

INPUT_OPTIONS = ("dataset", "reader", "input_size", "flip_average", "normalize", "description")
"""What a prediction depends on."""

MARK = "+"
"""Stands between a protocol's name and its changes."""

FRACTIONS = {
    "garg": (0.40810811, 0.99189189, 0.03594771, 0.96405229),  # Garg et al. 2016
    "kitti_eigen": (0.3324324, 0.91351351, 0.0359477, 0.96405229),  # Eigen et al. 2014
    # Eigen et al.'s window of NYUv2, 45:471 and 41:601 of 480 x 640, at any size
    "nyu_eigen_scaled": (45 / 480, 471 / 480, 41 / 640, 601 / 640),
}
"""Windows as shares of height and width: top, bottom, left, right."""


@dataclass(frozen=True)
class Protocol:
    """How a dataset is evaluated.

    Args:
        depth_range: nearest and farthest depth, in the dataset's unit; truth strictly between them counts.
        clamp: what predictions are clamped to, above 0. Default: the range.
        crop: window of the truth that counts: a name of `FRACTIONS`, or top, bottom, left and right in pixels, which
            are the same whatever the size. Default: all of it.
        resize: how a prediction is brought to the truth's size: `aligned` is bilinear with aligned corners, `bilinear`
            is without. Default: aligned.
        input_size: height and width at which a model that takes any size sees the pictures. Default: the model's own.
        flip_average: whether a model's output is averaged with that of the mirror image. Default: False.
        normalize: whether networks see pictures with the mean and deviation that they were trained with; False gives
            them 0..1, as the authors' release does for iBims-1. Default: True.
        description: source of the sentence that a picture comes with, its first. Default: the picture's first of all.
        reader: options of the dataset's reader, which decide how picture and truth are loaded.
        name: name of the protocol. Default: range, of which nothing else is said.
        dataset: that it is for.
    """

    depth_range: tuple[float, float]
    clamp: tuple[float, float] | None = None
    crop: str | tuple[int, int, int, int] | None = None
    resize: Literal["aligned", "bilinear"] = "aligned"
    input_size: tuple[int, int] | None = None
    flip_average: bool = False
    normalize: bool = True
    description: str | None = None
    reader: Mapping[str, Any] = field(default_factory=dict)
    name: str = "range"
    dataset: str = ""

    def __post_init__(self) -> None:
        for option in ("depth_range", "clamp", "input_size", "crop"):
            value = getattr(self, option)
            if isinstance(value, Sequence) and not isinstance(value, str):
                object.__setattr__(self, option, tuple(value))
        if not (are_numbers(self.depth_range, 2) and 0 <= self.depth_range[0] < self.depth_range[1]):
            raise InputError(f"depth_range must be two increasing depths, not {self.depth_range!r}")
        if not (are_numbers(self.limits, 2) and 0 < self.limits[0] < self.limits[1]):
            needed = "" if self.clamp else ", and is needed where depth_range begins at 0"
            raise InputError(f"clamp must be two increasing positive depths, not {self.limits!r}{needed}")
        if not (self.crop is None or self.crop in FRACTIONS or is_window(self.crop)):
            wanted = f"one of {', '.join(FRACTIONS)}, or top, bottom, left and right in pixels"
            raise InputError(f"crop must be {wanted}, not {self.crop!r}")
        if self.resize not in ("aligned", "bilinear"):
            raise InputError(f"resize must be 'aligned' or 'bilinear', not {self.resize!r}")
        if not (self.input_size is None or (are_numbers(self.input_size, 2, whole=True) and min(self.input_size) > 0)):
            raise InputError(f"input_size must be height and width, not {self.input_size!r}")
        for option in ("flip_average", "normalize"):
            if not isinstance(getattr(self, option), bool):
                raise InputError(f"{option} must be true or false, not {getattr(self, option)!r}")
        if not isinstance(self.reader, Mapping):
            raise InputError(f"reader must be options of the dataset's reader by name, not {self.reader!r}")

    @property
    def limits(self) -> tuple[float, float]:
        """What predictions are clamped to."""
        return self.clamp or self.depth_range

    @property
    def hash(self) -> str:
        """Twelve digits that differ between any two protocols that differ in anything; 10 is 10.0."""
        return _hash(asdict(self))

    @property
    def input_hash(self) -> str:
        """The same of what a prediction depends on: how pictures are read and fed, not how it is measured."""
        return _hash({name: getattr(self, name) for name in INPUT_OPTIONS})

    @property
    def published(self) -> bool:
        """Whether it is one of the package's, unchanged."""
        return self.name in PROTOCOLS and self == load_protocol(self.name, self.dataset)

    def window(self, size: tuple[int, int]) -> tuple[slice, slice]:
        """Rows and columns of a truth of that size that count."""
        if self.crop is None:
            return slice(None), slice(None)
        if isinstance(self.crop, str):
            top, bottom, left, right = FRACTIONS[self.crop]
            height, width = size
            return slice(int(top * height), int(bottom * height)), slice(int(left * width), int(right * width))
        return slice(*self.crop[:2]), slice(*self.crop[2:])

    def valid(self, truth: np.ndarray) -> np.ndarray:
        """Where the truth counts, (H, W) bool."""
        low, high = self.depth_range
        mask = np.zeros(truth.shape, bool)
        rows, columns = self.window(truth.shape)
        part = truth[rows, columns]
        mask[rows, columns] = (part > low) & (part < high)  # false for NaN too
        return mask

    def at_size_of(self, pred: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """A prediction (h, w) at the truth's size."""
        return resize_prediction(pred, truth.shape, self.resize == "aligned")

    def checked(self, pred: np.ndarray, truth: np.ndarray, foreign: bool = False) -> np.ndarray:
        """A prediction that can be measured: where the truth counts it is finite.

        Args:
            pred: what a model returned, (h, w), before any conversion: disparity that is 0 is as finite as any.
            truth: true depth, (H, W), 0 = no measurement.
            foreign: whether another program wrote it, which may not have turned the picture upright. Default: False.

        Returns:
            The prediction.

        Raises:
            InputError: NaN or infinity where the truth counts, at the truth's size; or another shape; or a foreign one
                lies on its side.
        """
        if pred.ndim != 2 or not pred.size:
            raise InputError(f"a prediction has the shape {pred.shape}, not height and width")
        if foreign and pred.shape != truth.shape and pred.shape == truth.shape[::-1]:
            raise InputError(
                f"the prediction is {pred.shape[0]} × {pred.shape[1]} and the truth {truth.shape[0]} × "
                f"{truth.shape[1]}: was the picture not turned upright, as its EXIF data say?"
            )
        if np.isfinite(pred).all():
            return pred
        counted = np.isfinite(self.at_size_of(pred, truth)[self.valid(truth)])
        if counted.size and not counted.any():
            raise InputError(f"none of the {counted.size} predicted numbers that count is finite")
        if not counted.all():
            raise InputError(
                f"{(~counted).sum()} of the {counted.size} predicted numbers that count are not finite (NaN, infinity)"
            )
        return pred

    def clamped(self, pred: np.ndarray) -> np.ndarray:
        """Depths within the limits; infinity, as of disparity 0, becomes the farthest, NaN the nearest."""
        low, high = self.limits
        return np.nan_to_num(np.clip(pred, low, high), nan=low)

    def compare(self, pred: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The pixels that count.

        Args:
            pred: predicted depth, (h, w); resized to the truth's size, then clamped.
            truth: true depth, (H, W), 0 = no measurement.

        Returns:
            Clamped prediction and truth of the valid pixels, (N,) each.
        """
        mask = self.valid(truth)
        return self.clamped(self.at_size_of(pred, truth)[mask]), truth[mask]

    def changed(self, changes: Mapping[str, Any]) -> Protocol:
        """The protocol with other options; a star behind its name says that it is not the published one.

        Options of the reader come to the others, the rest takes their place.

        Raises:
            InputError: an option does not exist.
        """
        unknown = sorted(set(changes) - {name for name in self.__dataclass_fields__ if name not in ("name", "dataset")})
        if unknown:
            raise InputError(f"protocols have no option {', '.join(unknown)}")
        found = dict(changes)
        if isinstance(found.get("reader"), Mapping):
            found["reader"] = {**self.reader, **found["reader"]}
        other = replace(self, **found)
        return self if other == self else replace(other, name=f"{self.name.rstrip('*')}*")


def _plain(value: Any) -> Any:
    """A value as JSON has it, whole numbers as integers: 10 and 10.0 are one protocol."""
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _hash(options: Mapping[str, Any]) -> str:
    # A younger option: hashes of protocols that leave it as it is are those from before.
    options = _plain({name: value for name, value in options.items() if (name, value) != ("normalize", True)})
    return hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:12]


def name_protocol(name: str, changes: Mapping[str, Any]) -> str:
    """A protocol with other options as one word for the index's column, which `load_protocol` reads."""
    return f"{name}{MARK}{json.dumps(dict(changes), sort_keys=True)}" if changes else name


@lru_cache(maxsize=64)
def load_protocol(name: str, dataset: str) -> Protocol:
    """The protocol of a dataset.

    Args:
        name: `release`, `zoedepth`, or a folder with a file `DATASET.yaml` of `Protocol`'s options; or what
            `name_protocol` makes of one.
        dataset: name of the dataset.

    Raises:
        InputError: there is none, or its file is not one.
    """
    name, mark, changes = name.partition(f"{MARK}{{")
    if mark:
        return load_protocol(name, dataset).changed(_parse(f"{{{changes}", "the protocol's changes"))
    path = (FOLDER / name if name in PROTOCOLS else Path(name)) / f"{dataset}.yaml"
    if not path.is_file():
        known = f"protocols are {', '.join(PROTOCOLS)} or a folder of files such as nyu.yaml"
        raise InputError(f"there is no protocol {name!r} for {dataset!r} ({path} does not exist); {known}")
    options = parse_yaml(read_text(path), str(path))
    if not isinstance(options, Mapping):
        raise InputError(f"{path} is not a protocol: it must hold options by name, such as depth_range: [0.1, 10]")
    try:
        own = Path(name).name
        mark = "*" if own in PROTOCOLS and name not in PROTOCOLS else ""  # not to be taken for the package's
        return Protocol(**{**options, "name": f"{own}{mark}", "dataset": dataset})
    except (TypeError, ValueError) as error:
        raise InputError(f"{path} is not a protocol: {error}") from error


def _parse(text: str, what: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what} should be JSON and is {text[:60]!r}: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{what} should be options by name and is {text[:60]!r}")
    return found


def protocol_of(row: IndexRow) -> Protocol:
    """The protocol of a row of the index: the one it names, or the plain range of its columns.

    Raises:
        InputError: it has neither; or see `load_protocol`.
    """
    if row.protocol:
        return load_protocol(row.protocol, row.dataset)
    if row.depth_min is None or row.depth_max is None:
        raise InputError(f"{row.key} has neither a protocol nor a range of depth by which it could be measured")
    reading = {name: getattr(row, name) for name in ("unit", "depth_scale") if getattr(row, name) is not None}
    reading |= {name: bool(value) if name == "mask" else value for name, value in row.extras.items()}
    return Protocol((row.depth_min, row.depth_max), reader=reading, dataset=row.dataset)


def protocol_of_sample(sample: Mapping[str, Any]) -> Protocol:
    """The protocol of a sample of MMEngine's runner: the one it names, or its plain range.

    Args:
        sample: with `dataset`, `protocol` and `depth_range`, as `DepthDataSample` has them.
    """
    if sample.get("protocol"):
        return load_protocol(os.fspath(sample["protocol"]), sample["dataset"])
    reading = {"unit": sample["unit"]} if sample.get("unit") is not None else {}
    return Protocol(sample["depth_range"], reader=reading, dataset=sample.get("dataset", ""))
