"""True depth among what somebody's model is given."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from numpy import ndarray
from torch import Tensor, nn

from tr2m_plugin.checks import are_numbers
from tr2m_plugin.errors import InputError
from tr2m_plugin.registry import FUNCTIONS
from tr2m_plugin.tensors import valid_depth

SAMPLES = "data_samples"


def forward_inputs(model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """What a forward is called with, by the names of its arguments, without `mode`.

    A second argument that is given by position counts as `data_samples` too, whatever its name.
    """
    try:
        bound = inspect.signature(model.forward).bind_partial(*args, **kwargs)
    except (TypeError, ValueError):
        named = dict(kwargs)
    else:
        named = dict(bound.arguments)
        for name, parameter in bound.signature.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                named.update(named.pop(name, {}))
    if len(args) > 1:
        named.setdefault(SAMPLES, args[1])
    named.pop("mode", None)
    return named


def clip_to_range(depth: Tensor, inputs: Mapping[str, Any]) -> Tensor:
    """True depth with what lies outside the range that its sample names brought to the range's end.

    Args:
        depth: (B, 1, H, W); what is no measurement stays none.
        inputs: inputs of the forward, by name; samples name their range, (nearest, farthest), as `depth_range`.
    """
    samples = inputs.get(SAMPLES)
    if not isinstance(samples, (list, tuple)) or len(samples) != len(depth):
        return depth
    limits = depth.new_tensor([_range(sample) for sample in samples])[..., None, None, None]
    return torch.where(valid_depth(depth), depth.clamp(limits[:, 0], limits[:, 1]), depth)


def _range(sample: Any) -> tuple[float, float]:
    """The range of depth that a sample names; without end where it names none."""
    found: Any = sample.get("depth_range") if isinstance(sample, (Mapping, BaseDataElement)) else None
    if not are_numbers(found, 2) or not found[0] < found[1]:
        return 0.0, torch.inf
    return found[0], found[1]


class TrueDepth:
    """Finds the true depth of a batch.

    Args:
        gt: an argument of the model's forward, or a field of its `data_samples`, or a dotted path from such an
            argument on, `targets.depth`; or a function, also as the config of one that is registered in FUNCTIONS.
            A function's parameters are filled by name with the arguments of the forward, `**inputs` with all of them;
            one with a single parameter of another name gets the data samples.

    Raises:
        InputError: no function of the config's name is registered.
    """

    def __init__(self, gt: str | Mapping[str, Any] | Callable[..., Any]) -> None:
        self.gt = _function(gt) if isinstance(gt, Mapping) else gt

    def __call__(self, inputs: Mapping[str, Any]) -> Tensor:
        """True depth, (B, 1, H, W) float.

        Args:
            inputs: inputs of the forward, by name.

        Raises:
            InputError: there is none, or it has another shape; the message offers what could be it.
        """
        found = self._follow(self.gt, inputs) if isinstance(self.gt, str) else self._call(self.gt, inputs)
        try:
            depth = _batch(found)
        except RuntimeError as error:
            raise InputError(f"SOCHook needs true depth in every sample: {error.args[0]}") from error
        if not isinstance(depth, Tensor) or depth.ndim != 4 or depth.shape[1] != 1:
            shape = tuple(depth.shape) if isinstance(depth, Tensor) else type(depth).__name__
            raise InputError(f"true depth must be (B, 1, H, W), not {shape}: see SOCHook's `gt`")
        return depth if depth.is_floating_point() else depth.float()

    @staticmethod
    def _follow(path: str, inputs: Mapping[str, Any]) -> Any:
        steps = path.split(".")
        value: Any = inputs
        if inputs.get(steps[0]) is None:
            if inputs.get(SAMPLES) is None:
                raise InputError(
                    f"the model was called without {SAMPLES} and without {steps[0]}, only with {_names(inputs)}: "
                    f"set `gt` to {_offer(inputs) or 'the argument that holds true depth'} or to a function"
                )
            value = inputs[SAMPLES]
        for step in steps:
            value = _step(value, step)
        return value

    @staticmethod
    def _call(function: Callable[..., Any], inputs: Mapping[str, Any]) -> Any:
        try:
            parameters = inspect.signature(function).parameters.values()
        except ValueError:  # a builtin
            parameters = [inspect.Parameter("samples", inspect.Parameter.POSITIONAL_ONLY)]  # type: ignore[assignment]
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return function(**inputs)
        fixed = function.keywords if isinstance(function, partial) else {}
        named = {p.name: inputs[p.name] for p in parameters if p.name in inputs and p.name not in fixed}
        missing = [p.name for p in parameters if p.default is p.empty and p.name not in named and p.name not in fixed]
        if not missing:
            return function(**named)
        if len(missing) == 1 and not named and inputs.get(SAMPLES) is not None:
            return function(inputs[SAMPLES])
        raise InputError(
            f"the function `gt` wants {', '.join(missing)}, but the model was called with {_names(inputs)}: name its "
            "parameters so, or take **inputs"
        )


def _function(config: Mapping[str, Any]) -> Callable[..., Any]:
    """The registered function that a config names, with the config's other entries as arguments."""
    options = dict(config)
    name = options.pop("type")
    found = name if callable(name) else FUNCTIONS.get(name)
    if found is None:
        raise InputError(f"no function {name!r} is registered in FUNCTIONS; name its module in custom_imports")
    return partial(found, **options)


def _names(inputs: Mapping[str, Any]) -> str:
    return ", ".join(inputs) or "nothing"


def _fields(value: Any) -> list[str]:
    """What a sample or a mapping holds."""
    if isinstance(value, (Mapping, BaseDataElement)):
        return sorted(map(str, value.keys()))
    if isinstance(value, (list, tuple)) and len(value):
        return list(getattr(value, "_fields", ())) or _fields(value[0])
    return []


def _offer(inputs: Mapping[str, Any]) -> str:
    """Names that could be true depth, as values of `gt`."""
    inside = [name if key == SAMPLES else f"{key}.{name}" for key, value in inputs.items() for name in _fields(value)]
    near = [name for name in dict.fromkeys([*inputs, *inside]) if "depth" in name.lower() and "pred" not in name]
    return " or ".join(f'"{name}"' for name in near)


def _step(value: Any, name: str) -> Any:
    """A field of a mapping, of a sample, or of each sample of a list."""
    if isinstance(value, (list, tuple)) and not hasattr(value, name):
        if name.isdigit() and int(name) < len(value):
            return value[int(name)]
        if not name.isdigit():
            return [_step_of_sample(sample, name, number) for number, sample in enumerate(value)]
    return _step_of_sample(value, name)


def _step_of_sample(sample: Any, name: str, number: int = 0) -> Any:
    if isinstance(sample, Mapping) and name in sample:
        return sample[name]
    if isinstance(sample, BaseDataElement) and name in sample:
        return sample.get(name)
    if not isinstance(sample, (Mapping, BaseDataElement, Tensor, ndarray)) and hasattr(sample, name):
        return getattr(sample, name)
    held = _fields(sample)
    get = getattr(sample, "get", lambda key, default: default)
    offer = _offer({SAMPLES: sample})
    raise InputError(
        f"SOCHook needs true depth in every sample: sample {get('sample_id', number)} has no {name}, only "
        f"{', '.join(held) or type(sample).__name__}" + (f"; perhaps gt={offer}" if offer else "")
    )


def _batch(found: Any) -> Any:
    """One tensor (B, 1, H, W) of a batch, (B, 1, H, W) or (B, H, W), or of a list of maps, (1, H, W) or (H, W) each."""
    if isinstance(found, (list, tuple)):
        maps = [_plain(item) for item in found]
        if not maps or not all(isinstance(data, Tensor) for data in maps):
            return found
        return torch.stack([data if data.ndim != 2 else data[None] for data in maps])
    data = _plain(found)
    return data[:, None] if isinstance(data, Tensor) and data.ndim == 3 else data


def _plain(value: Any) -> Any:
    if isinstance(value, BaseDataElement) and "data" in value:
        value = value.get("data")
    return torch.as_tensor(value) if isinstance(value, ndarray) else value
