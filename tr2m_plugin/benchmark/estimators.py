"""Depth models of every kind behind one interface that says what it returns."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.structures import PixelData

from tr2m_plugin.checkpoint import load_checkpoint, state_hash, state_of
from tr2m_plugin.device import pick_device
from tr2m_plugin.errors import InputError
from tr2m_plugin.inference.inferencer import TR2MInferencer
from tr2m_plugin.inference.model_folder import (
    count_parameters,
    describe_model,
    is_model_folder,
    trainable_weights,
)
from tr2m_plugin.models.frozen.depth_network import MetricDepth, output_of
from tr2m_plugin.models.frozen.encoders import load_pretrained
from tr2m_plugin.models.frozen.relative_depth import RelativeDepth
from tr2m_plugin.registry import MODELS, scoped
from tr2m_plugin.structures import DepthDataSample, Space
from tr2m_plugin.units import UNITS, convert


@dataclass(frozen=True)
class Returns:
    """What a model's numbers mean.

    Attributes:
        space: `depth`, or `disparity`: the larger, the nearer.
        metric: whether scale and shift are known; otherwise it takes an alignment with the truth to measure it.
        unit: of metric depth, "m" or "mm"; None for the unit of the dataset, as of models trained on it.
    """

    space: Space
    metric: bool
    unit: str | None = None

    def __post_init__(self) -> None:
        if self.space not in ("disparity", "depth"):
            raise InputError(f"space must be 'disparity' or 'depth', not {self.space!r}")
        if self.unit not in (None, *UNITS):
            raise InputError(f"unit must be 'm' or 'mm', not {self.unit!r}")

    def depth(self, values: np.ndarray, unit: str) -> np.ndarray:
        """Metric numbers as depth in another unit, (h, w) float32; where disparity is not positive, infinity."""
        if self.space == "disparity":
            with np.errstate(divide="ignore"):
                values = np.where(values > 0, 1 / np.maximum(values, 0), np.inf).astype(np.float32)
        return convert(values, self.unit, unit)


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
        """For JSON."""
        return asdict(self)


class Estimator(ABC):
    """A depth model.

    Attributes:
        returns: what its numbers mean.
        facts: what a result says of it.
        needs_text: whether it takes a sentence with each picture.
        unit_rule: how its unit is known, where `returns` does not say: `text`, from the sentence, or `dataset`.
    """

    returns: Returns
    facts: Facts
    needs_text = False
    unit_rule = "dataset"

    @abstractmethod
    def predict(
        self, images: Sequence[np.ndarray], texts: Sequence[str], size: Sequence[int] | None = None
    ) -> list[np.ndarray]:
        """The model's numbers for a batch of pictures, (h, w) float32 each, at whatever size the model gives.

        Args:
            images: (H, W, 3) uint8 RGB each.
            texts: a sentence each; empty for models that take none.
            size: height and width at which a model that takes any size sees the pictures. Default: its own.
        """

    def unit_of(self, text: str) -> str | None:
        """Unit of a prediction for a scene so described; None for the dataset's."""
        return None


class TR2MEstimator(Estimator):
    """TR2M or RSA: a model folder, or a config with a checkpoint.

    Args:
        model: see `TR2MInferencer`.
        weights: see `TR2MInferencer`.
        device: torch device.
        returns: metric depth; its unit, None for the dataset's. Default: the unit that the model's training had for
            scenes so described, as `ModelSpec.unit_of` says.

    Raises:
        InputError: what it is said to return is no metric depth; or see `TR2MInferencer`.
    """

    needs_text = True

    def __init__(self, model: str, weights: str | None, device: str, returns: Returns | None = None) -> None:
        if returns is not None and (returns.space, returns.metric) != ("depth", True):
            raise InputError(
                f"{model} returns metric depth, not {'metric' if returns.metric else 'affine-invariant'} "
                f"{returns.space}"
            )
        self.inferencer = TR2MInferencer(model, weights, device, show_progress=False)
        self.unit_rule = "text" if returns is None else "dataset"
        self.returns = returns or Returns("depth", metric=True)
        name, about = describe_model(self.inferencer.model, self.inferencer.spec)
        label = f"{name} ({_short(model)})"
        self.facts = Facts(label, _name(model), state_hash(self.inferencer.model), about)

    def predict(
        self, images: Sequence[np.ndarray], texts: Sequence[str], size: Sequence[int] | None = None
    ) -> list[np.ndarray]:
        samples = self.inferencer.forward(self.inferencer.preprocess(images, texts, size))
        return [sample.pred_depth_map.data[0].float().cpu().numpy() for sample in samples]

    def unit_of(self, text: str) -> str | None:
        return self.inferencer.spec.unit_of(text) if self.unit_rule == "text" else None


class RelativeEstimator(Estimator):
    """A relative depth network of transformers: Depth Anything, MiDaS, DPT.

    Args:
        pretrained: see `RelativeDepth`.
        device: torch device.
        dtype: precision of the weights.
    """

    def __init__(self, pretrained: str, device: str, dtype: str) -> None:
        self.network = RelativeDepth(pretrained, dtype=dtype, device=device, aligned=True)
        self.returns = Returns("disparity", metric=False)
        about = {"type": "I → R", "domains": "Multiple", "backbone": _short(pretrained)}
        self.facts = Facts(_short(pretrained), _name(pretrained), state_hash(self.network.network), about)

    def predict(
        self, images: Sequence[np.ndarray], texts: Sequence[str], size: Sequence[int] | None = None
    ) -> list[np.ndarray]:
        if size is not None:
            return list(self.network(images, size)[:, 0].cpu().numpy())
        return [self.network([image])[0, 0].cpu().numpy() for image in images]


class TransformersEstimator(Estimator):
    """Any other depth network of transformers, with its own preprocessing.

    Args:
        pretrained: see `MetricDepth`.
        returns: what its numbers mean.
        device: torch device.
        dtype: precision of the weights.
    """

    def __init__(self, pretrained: str, returns: Returns, device: str, dtype: str) -> None:
        self.network = MetricDepth(pretrained, dtype=dtype, device=device)
        self.returns = returns
        about = {"type": "I → M" if returns.metric else "I → R", "backbone": _short(pretrained)}
        self.facts = Facts(_short(pretrained), _name(pretrained), state_hash(self.network.network), about)

    def predict(
        self, images: Sequence[np.ndarray], texts: Sequence[str], size: Sequence[int] | None = None
    ) -> list[np.ndarray]:
        return [depth.cpu().numpy() for depth in self.network(images)]


class MMEngineEstimator(Estimator):
    """A depth model of an MMEngine config, such as NeWCRFs, in the unit of the data it was trained on.

    Pictures go through the model's data preprocessor at their own size.

    Args:
        config: file with `model`.
        weights: checkpoint.
        device: torch device.
        returns: what its numbers mean.
    """

    def __init__(self, config: str, weights: str, device: str, returns: Returns) -> None:
        spec = Config.fromfile(config)
        self.model = MODELS.build(scoped(spec.model.to_dict()))
        state = state_of(load_checkpoint(weights), weights)
        try:
            self.model.load_state_dict(trainable_weights(self.model, state))
        except InputError as error:
            raise InputError(f"{weights} does not fit {config}: {error}") from error
        self.model = self.model.to(device).eval()
        if hasattr(self.model, "flip_average"):
            self.model.flip_average = False  # the protocol decides
        self.returns = returns
        about = {"type": "I → M", "train_params": count_parameters(self.model)}
        self.facts = Facts(Path(config).stem, _name(config), state_hash(self.model), about)

    @torch.no_grad()
    def predict(
        self, images: Sequence[np.ndarray], texts: Sequence[str], size: Sequence[int] | None = None
    ) -> list[np.ndarray]:
        found = []
        for image in images:  # of any sizes
            pixels = torch.from_numpy(image.transpose(2, 0, 1).copy())
            sample = DepthDataSample(gt_depth_map=PixelData(data=torch.zeros(1, *image.shape[:2])))
            (out,) = self.model.test_step({"inputs": [pixels], "data_samples": [sample]})
            found.append(out.pred_depth_map.data[0].float().cpu().numpy())
        return found


def open_estimator(
    model: str | os.PathLike,
    weights: str | None = None,
    device: str = "auto",
    dtype: str = "float32",
    returns: Returns | None = None,
) -> Estimator:
    """The estimator that fits a model.

    Args:
        model: a TR2M model folder, an MMEngine config (with `weights`), or a depth network of transformers by hub id,
            folder or the name of a packaged one.
        weights: checkpoint for a config. Default: none.
        device: torch device, or "auto". Default: auto.
        dtype: precision of transformers' networks. Default: float32.
        returns: what the model's numbers mean, where it does not say itself. Default: what it says.

    Raises:
        InputError: it is none of these, or does not say what it returns.
    """
    name, device = os.fspath(model), pick_device(device)
    if name.endswith(".py"):
        if weights is None or not Path(name).is_file():
            lack = "give the weights of a checkpoint too" if Path(name).is_file() else "it does not exist"
            raise InputError(f"{name} is a config: {lack}")
        if "relative_depth" in Config.fromfile(name):
            return TR2MEstimator(name, weights, device, returns)
        return MMEngineEstimator(name, weights, device, returns or Returns("depth", metric=True))
    if is_model_folder(name):
        return TR2MEstimator(name, weights, device, returns)
    if weights is not None:
        raise InputError(f"{name} has weights of its own: --weights is for configs and TR2M's model folders")
    config = load_pretrained("AutoConfig", name)
    known = output_of(config)
    if returns is None and known is None:
        raise InputError(
            f"{name} is a {config.model_type}, which does not say what it returns: give --returns depth or disparity "
            "and --unit m, mm or none for affine-invariant"
        )
    if returns is None and known is not None:
        space, metric = known
        returns = Returns(space, metric, "m" if metric else None)
    assert returns is not None
    if known == ("disparity", False) and returns == Returns("disparity", metric=False):
        return RelativeEstimator(name, device, dtype)
    return TransformersEstimator(name, returns, device, dtype)


def _short(model: str | os.PathLike) -> str:
    return Path(os.fspath(model)).name.removesuffix(".py")


def _name(model: str | os.PathLike) -> str:
    """A model's name without the folders that say where on a machine it lies."""
    path = Path(model)
    return path.name if path.exists() else os.fspath(model)
