"""A trained TR2M as a folder: weights as safetensors, everything else as JSON. Opening one runs no code of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from torch import nn

from tr2m_plugin.errors import InputError
from tr2m_plugin.files import read_json, write_whole
from tr2m_plugin.models.frozen.encoders import check_size
from tr2m_plugin.models.frozen.relative_depth import PRETRAINED
from tr2m_plugin.registry import MODELS, scoped
from tr2m_plugin.replacing import check_folder, read_marked
from tr2m_plugin.state_dicts import fit, read_weights
from tr2m_plugin.trusted import brief, check_config, is_text, parameters_within
from tr2m_plugin.units import find_unit
from tr2m_plugin.weights import resolve_pretrained

CONFIG, WEIGHTS = "config.json", "model.safetensors"
FORMAT = "tr2m"
NETWORKS = ("model", "relative_depth", "text_encoder")


@dataclass
class ModelSpec:
    """What it takes to build a model and the frozen networks it stands on.

    Attributes:
        model: config of `TR2M`.
        relative_depth: config of the relative depth network.
        text_encoder: config of the text encoder.
        units: words by unit of the depth: a description that says one of a unit's words, as `find_unit` reads it,
            means a scene whose training data was in that unit; otherwise metres.
        about: free notes: what it was trained on, for how long, by which version.
    """

    model: dict[str, Any]
    relative_depth: dict[str, Any]
    text_encoder: dict[str, Any]
    units: dict[str, list[str]] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)

    def unit_of(self, text: str) -> str:
        """The unit of the depth that the model predicts for a scene so described, "m" by default."""
        return find_unit(text, self.units)[0]


def spec_of(config: Any, about: dict[str, Any] | None = None) -> ModelSpec:
    """The spec in an MMEngine config with `model`, `relative_depth`, `text_encoder` and, maybe, `units`.

    Raises:
        InputError: one of them is missing.
    """
    for name in NETWORKS:
        if name not in config:
            raise InputError(f"the config has no {name!r}: prediction needs it (see configs/tr2m_mini.py)")
    plain = config.to_dict() if hasattr(config, "to_dict") else dict(config)
    units = {unit: list(words) for unit, words in plain.get("units", {}).items()}
    # Without the relative depth network of the training's own.
    model = {name: value for name, value in plain["model"].items() if name != "relative_depth"}
    return ModelSpec(model, plain["relative_depth"], plain["text_encoder"], units, about or {})


def save_model(folder: str | os.PathLike, spec: ModelSpec, state: dict[str, torch.Tensor]) -> None:
    """Writes a model folder.

    Args:
        folder: made if need be.
        spec: what builds the model.
        state: a checkpoint's `state_dict`.

    Raises:
        InputError: the folder holds something and is no model folder, the weights do not fit, or the spec has parts
            that a folder cannot have (see `tr2m_plugin.trusted`).
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    target = Path(folder)
    check_folder(target, lambda one: read_marked(one / CONFIG, format=FORMAT) is not None, "a model folder", "folder")
    for name in NETWORKS:
        check_config(getattr(spec, name), name, f"{target}: {name}")
    weights = fit(_trained_part(spec, state), state, "the state dict", more=True)  # training's additions are dropped
    target.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"format": FORMAT, **asdict(spec)}, indent=1) + "\n"

    def write(partial: Path) -> None:
        try:
            save_file(weights, partial)
        except SafetensorError as error:
            raise OSError(str(error)) from error
        # Only now, so that a full disk leaves an earlier model as it was.
        write_whole(target / CONFIG, lambda config: config.write_text(text, encoding="utf-8"))

    write_whole(target / WEIGHTS, write)


def is_model_folder(folder: str | os.PathLike) -> bool:
    """Whether a folder, given by path or by the name of a packaged model, says of itself that it is a TR2M.

    Raises:
        InputError: its config cannot be read.
    """
    path = Path(resolve_pretrained(os.fspath(folder))) / CONFIG
    if not path.is_file():
        return False
    content = read_json(path)
    return isinstance(content, dict) and content.get("format") == FORMAT


def load_spec(folder: str | os.PathLike) -> ModelSpec:
    """Reads a model folder's spec, which is data: what it may build is in `tr2m_plugin.trusted`.

    Raises:
        InputError: the folder is no model folder, or its config asks for anything else.
    """
    path = Path(resolve_pretrained(os.fspath(folder))) / CONFIG
    if not path.is_file():
        raise InputError(f"{path.parent} is not a model folder: it has no {CONFIG}")
    content = read_json(path)
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise InputError(f"{path} does not describe a TR2M model")
    known = [one.name for one in fields(ModelSpec)]
    for name in content:
        if name not in known:
            raise InputError(f"{path} has no place for {brief(name)}; there are {', '.join(known)}")
    for name in NETWORKS:
        if name not in content:
            raise InputError(f"{path} has no {name!r}: prediction needs it")
        check_config(content[name], name, f"{path}: {name}")
    size = content["relative_depth"].get("size")
    if size is not None:
        check_size(size, f"{path}: relative_depth.size")
    if not _are_units(content.get("units", {})):
        raise InputError(f"{path}: units must be lists of words by unit, m or mm, not {brief(content['units'])}")
    if not isinstance(content.get("about", {}), Mapping):
        raise InputError(f"{path}: about must be notes by name, not {brief(content['about'])}")
    return ModelSpec(**content)


def _are_units(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and set(value) <= {"m", "mm"}
        and all(isinstance(words, list) and all(is_text(word) and word for word in words) for words in value.values())
    )


def build_model(spec: ModelSpec, weights: str | os.PathLike, device: str = "cpu") -> BaseModel:
    """Builds the model and loads its weights.

    Args:
        spec: what to build.
        weights: a checkpoint of MMEngine's or a .safetensors file.
        device: torch device. Default: cpu.

    Raises:
        InputError: the weights are missing, unreadable, unsafe or do not fit.
    """
    name, state = read_weights(weights)
    try:
        fitting = fit(_trained_part(spec, state), state, name, more=True)
    except InputError as error:
        raise error if str(error).startswith(name) else InputError(f"{name}: {error}") from error
    model = MODELS.build(scoped(spec.model))
    model.load_state_dict(fitting)
    return model.to(device).eval()


def _trained_part(spec: ModelSpec, state: Mapping[str, torch.Tensor]) -> BaseModel:
    """The model without the frozen encoder, which has no weights in a folder, and need not be at hand.

    Raises:
        InputError: it would be larger than its weights, or its options do not go together.
    """
    held = sum(tensor.untyped_storage().nbytes() for tensor in state.values())
    try:
        with parameters_within(held, "the config asks for a network of more numbers than its weights can hold"):
            return MODELS.build(scoped({**spec.model, "image_encoder": None}))
    except (AssertionError, RuntimeError) as error:  # how torch's and MMEngine's layers refuse their options
        raise InputError(f"it cannot be built ({str(error).splitlines()[0]})") from error


def open_model(
    model: str | os.PathLike, weights: str | os.PathLike | None = None, device: str = "cpu"
) -> tuple[BaseModel, ModelSpec]:
    """Opens a trained model.

    Args:
        model: model folder, name of a packaged one, or a config (.py).
        weights: checkpoint to use in place of the folder's weights; a config needs one. Default: none.
        device: torch device. Default: cpu.

    Raises:
        InputError: see `load_spec`, `spec_of` and `build_model`; or a config comes without weights.
    """
    source = os.fspath(model)
    if not source.endswith(".py"):
        spec = load_spec(source)
        return build_model(spec, weights or Path(resolve_pretrained(source)) / WEIGHTS, device), spec
    if weights is None:
        raise InputError(f"{source} is a config: give the weights of a checkpoint too")
    if not Path(source).is_file():
        raise InputError(f"{source} does not exist")
    spec = spec_of(Config.fromfile(source))
    return build_model(spec, weights, device), spec


def count_parameters(model: nn.Module) -> str:
    """How many parameters a model trains, as the paper's tables write it, such as 19M."""
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return f"{count / 1e6:.0f}M" if count >= 1e7 else f"{count / 1e6:.2g}M"


def describe_model(model: nn.Module, spec: ModelSpec) -> tuple[str, dict[str, str]]:
    """What the paper's tables say of a model: TR2M or RSA, and the columns before the numbers."""
    factors = spec.model["rescale_net"]["type"].rpartition(".")[2] == "RescaleFactors"
    return "RSA" if factors else "TR2M", {
        "type": "(I, L) R → M",
        "scaling": "Rescale factors" if factors else "Rescale maps",
        "train_params": count_parameters(model),
        "backbone": Path(spec.relative_depth.get("pretrained", PRETRAINED)).name,
    }
