"""The interface behind which depth models are measured, and the register of those that implement it."""

from __future__ import annotations

import hashlib
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from torch import nn

from tr2m_plugin.checkpoint import state_hash
from tr2m_plugin.datasets.readers import load_picture
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import IndexRow
from tr2m_plugin.structures import Space
from tr2m_plugin.units import UNITS, convert


@dataclass(frozen=True)
class Returns:
    """What a model's numbers mean.

    Attributes:
        space: `depth`, or `disparity`: the larger, the nearer.
        metric: whether scale and shift are known; otherwise it takes an alignment with the truth to measure it.
        unit: unit of metric depth, "m" or "mm"; None for the unit of the dataset, as of models trained on it.
    """

    space: Space
    metric: bool
    unit: str | None = None

    def __post_init__(self) -> None:
        if self.space not in ("disparity", "depth"):
            raise InputError(f"space must be 'disparity' or 'depth', not {self.space!r}")
        if self.unit not in (None, *UNITS):
            raise InputError(f"unit must be 'm', 'mm' or None for the dataset's, not {self.unit!r}")

    def depth(self, values: np.ndarray, unit: str) -> np.ndarray:
        """Metric numbers as depth in another unit, (h, w) float32; where disparity is not positive, infinity."""
        if self.space == "disparity":
            with np.errstate(divide="ignore"):
                values = np.where(values > 0, 1 / np.maximum(values, 0), np.inf).astype(np.float32)
        return convert(values, self.unit, unit)


class Maps(NamedTuple):
    """How a model makes depth of relative depth, 1 / (A · D_r + B).

    Attributes:
        relative: relative depth D_r, disparity-like, (h, w).
        scale: scale map A, (h, w).
        shift: shift map B, (h, w).
    """

    relative: np.ndarray
    scale: np.ndarray
    shift: np.ndarray


@dataclass
class Facts:
    """What a result says of the model it is of.

    Attributes:
        label: how tables call it.
        model: hub id, folder or config.
        weights: hash of the weights.
        about: columns of the paper's tables: type, scaling, domains, train_params, backbone; what is not known is left
            out.
    """

    label: str
    model: str
    weights: str
    about: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The facts as JSON holds them."""
        return asdict(self)


@dataclass(frozen=True)
class Request:
    """What a user asks for: a model, and how it is to run.

    Attributes:
        model: folder, hub id, config or program.
        weights: checkpoint; None for the model's own.
        device: torch device.
        dtype: precision of the weights, as torch names it.
        returns: what the model's numbers mean, where it does not say itself.
    """

    model: str
    weights: str | None = None
    device: str = "cpu"
    dtype: str = "float32"
    returns: Returns | None = None


class Estimator(ABC):
    """A depth model that can be measured.

    A class of one's own needs `predict` and `returns`; the rest has defaults:

        class MyModel(Estimator):
            returns = Returns("depth", metric=True, unit="m")

            def __init__(self, weights, device):  # those of weights, device, dtype and returns that it takes
                self.network = load_my_network(weights).to(device)

            def predict(self, images, texts, size=None):
                return [self.network.infer(image) for image in images]

    Attributes:
        returns: what its numbers mean.
        facts: what a result says of it. Default: the model's name, and a hash of the networks or the file of the class.
        takes_the_rest: whether it opens models of which nothing tells whose they are; such a kind is asked after all
            others.
        needs_text: whether it takes a sentence with each picture.
        unit_rule: how its unit is known, where `returns` does not say: `text`, from the sentence, or `dataset`.
        computes: whether its numbers are computed, so that they are kept where they are needed twice.
        takes_mirrors: whether it can be asked about the mirror image of a picture.
        takes_plain: whether its `predict` has an option `normalize`, for protocols whose pictures networks see in 0..1.
    """

    returns: Returns
    facts: Facts
    takes_the_rest = False
    needs_text = False
    unit_rule = "dataset"
    computes = True
    takes_mirrors = True
    takes_plain = False

    @classmethod
    def opens(cls, request: Request) -> bool:
        """Whether a model is of this kind; see `ESTIMATORS`."""
        return False

    @classmethod
    def open(cls, request: Request) -> Estimator:
        """The estimator of a model, made with those of `weights`, `device`, `dtype` and `returns` that it takes."""
        return cls(**accepted(cls, request))

    def read(self, row: IndexRow) -> Any:
        """What `predict` takes of a row of the index, read in a loader's process. Default: its picture, as below."""
        return load_picture(row)

    @abstractmethod
    def predict(
        self, images: Sequence[Any], texts: Sequence[str], size: Sequence[int] | None = None
    ) -> list[np.ndarray]:
        """The model's numbers for a batch of pictures, (h, w) float32 each, at whatever size the model gives.

        Args:
            images: (H, W, 3) uint8 RGB each, of any sizes.
            texts: a sentence each; empty for models that take none.
            size: height and width at which a model that takes any size sees the pictures. Default: its own.
        """

    def maps(
        self, images: Sequence[Any], texts: Sequence[str], size: Sequence[int] | None = None, normalize: bool = True
    ) -> list[Maps]:
        """What is behind the numbers of a batch, where they are rescaled relative depth; of other models nothing.

        Args:
            images: see `predict`, as are the next two.
            texts: sentences.
            size: height and width.
            normalize: see `takes_plain`. Default: True.
        """
        return []

    def unit_of(self, text: str) -> str | None:
        """Unit of a prediction for a scene so described; None for the dataset's."""
        return None


EstimatorClass = TypeVar("EstimatorClass", bound=type[Estimator])
ESTIMATORS: list[type[Estimator]] = []
"""Kinds of estimators, the last registered first. In this order they are asked whether they open a model, those that
take the rest after all others."""


def register(kind: EstimatorClass) -> EstimatorClass:
    """Registers a kind of estimator, as a decorator of its class."""
    ESTIMATORS.insert(0, kind)
    return kind


def complete(estimator: Estimator, request: Request) -> Estimator:
    """An estimator as it was opened, with what its class need not say.

    Raises:
        InputError: what it says of itself is of the wrong type.
    """
    if not hasattr(estimator, "facts"):
        estimator.facts = Facts(short_name(request.model), public_name(request.model), hash_of(estimator))
    for name, wanted in (("returns", Returns), ("facts", Facts)):
        found = getattr(estimator, name, None)
        if not isinstance(found, wanted):
            raise InputError(f"{request.model}: `{name}` must be {wanted.__name__}, not {found!r:.100}")
    return estimator


def accepted(maker: Any, request: Request) -> dict[str, Any]:
    """Those of a request's weights, device, dtype and returns that a class or function takes, by name.

    Raises:
        InputError: weights are given and it takes none.
    """
    taken = signature(maker).parameters
    whatever = any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values())
    offered = {name: getattr(request, name) for name in ("weights", "device", "dtype", "returns")}
    found = {name: value for name, value in offered.items() if whatever or name in taken}
    if request.weights is not None and "weights" not in found:
        raise InputError(f"{request.model} takes no weights: leave out --weights")
    return {name: value for name, value in found.items() if value is not None or name in ("weights", "returns")}


def hash_of(made: Any) -> str:
    """A hash of the weights that an object holds, or of its program where it holds none."""
    held = [made] if isinstance(made, nn.Module) else [v for v in vars(made).values() if isinstance(v, nn.Module)]
    if held:
        return state_hash(nn.ModuleList(held))
    source = getattr(sys.modules.get(type(made).__module__), "__file__", None)
    return hashlib.sha256(Path(source).read_bytes()).hexdigest()[:12] if source else ""


def short_name(model: str | os.PathLike) -> str:
    """The last part of a model's name, for labels."""
    return Path(os.fspath(model)).name.removesuffix(".py")


def public_name(model: str | os.PathLike) -> str:
    """A model's name without the folders that say where on a machine it lies."""
    path = Path(model)
    return path.name if path.exists() else os.fspath(model)
