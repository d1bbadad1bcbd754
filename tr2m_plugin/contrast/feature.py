"""A named feature of somebody's model: where it is, what shape it has, and what of the model it needs."""

from __future__ import annotations

import copy
import random
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from tr2m_plugin.errors import InputError

Step = int | str
PREFIX_TOKENS = (0, 1, 2, 5)
"""What may stand before the patches: nothing, a class token, a distillation token too, or four registers too."""


class FeatureReachedError(Exception):
    """Ends a forward once the feature is known."""


def find_submodule(model: nn.Module, name: str) -> nn.Module:
    """The submodule of that name, as in `model.named_modules()`.

    Raises:
        InputError: there is none; the message lists names that come near.
    """
    modules = dict(model.named_modules())
    if name in modules:
        return modules[name]
    near = get_close_matches(name, modules, n=5, cutoff=0.4) or list(modules)[1:6]
    raise InputError(f"{type(model).__name__} has no submodule {name!r}; names near it: {', '.join(near)}")


def _shapes(output: Any) -> str:
    if isinstance(output, Tensor):
        return str(tuple(output.shape))
    if isinstance(output, Mapping):
        return f"{{{', '.join(f'{key}: {_shapes(value)}' for key, value in output.items())}}}"
    if isinstance(output, (list, tuple)):
        return f"[{', '.join(map(_shapes, output))}]"
    return type(output).__name__


def pick(output: Any, path: Sequence[Step]) -> Any:
    """The part of a submodule's output that a path of indices and keys leads to.

    Raises:
        InputError: it leads nowhere; the message shows the output's structure.
    """
    part = output
    try:
        for step in path:
            part = part[step]
    except (IndexError, KeyError, TypeError) as error:
        raise InputError(f"index {list(path)} leads nowhere in the hooked output, {_shapes(output)}") from error
    return part


def _tiles(rows: int, columns: int, height: int, width: int) -> bool:
    """Whether square patches of some side give that grid, pixels that are left over being dropped or padded."""
    dropped = max(height / (rows + 1), width / (columns + 1)) < min(height / rows, width / columns)
    most = min(height / (rows - 1) if rows > 1 else np.inf, width / (columns - 1) if columns > 1 else np.inf)
    return dropped or max(height / rows, width / columns) < most


def as_map(feature: Any, height: int, width: int) -> Tensor:
    """A feature as a map (B, C, h, w).

    Args:
        feature: (B, C, h, w), or tokens (B, N, C) in rows, with or without class and register tokens in front.
        height: height of the picture, whose shape tells how N tokens divide into rows.
        width: width of the picture.

    Raises:
        InputError: it is neither.
    """
    if isinstance(feature, Tensor) and feature.ndim == 4:
        return feature
    if isinstance(feature, Tensor) and feature.ndim == 3:
        for first in PREFIX_TOKENS:
            count = feature.shape[1] - first
            rows = max(1, round((max(count, 0) * height / width) ** 0.5))
            if count > first and count % rows == 0 and _tiles(rows, count // rows, height, width):
                return feature[:, first:].transpose(1, 2).unflatten(2, (rows, count // rows))
    hint = "; choose one with `index`" if isinstance(feature, (list, tuple, Mapping)) else ""
    raise InputError(
        f"the hooked feature must be (B, C, h, w), or (B, N, C) with N tokens that tile a {height} × {width} picture, "
        f"not {_shapes(feature)}{hint}"
    )


def picture_size(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, int] | None:
    """Height and width of the pictures among arguments, (B, 3, H, W) or a list of (3, H, W); None without any."""
    for value in (*args, *kwargs.values()):
        picture = value[0] if isinstance(value, (Tensor, list, tuple)) and len(value) else None
        if isinstance(picture, Tensor) and picture.ndim == 3 and picture.shape[0] == 3:
            return picture.shape[-2], picture.shape[-1]
    return None


def watch_size(model: nn.Module, feature: str, store: Callable[[tuple[int, int]], None]) -> list[RemovableHandle]:
    """Tells the size of the pictures as the modules around a feature see them, from the outermost to the innermost.

    A model may resize its pictures before it encodes them; the last size told is that of the encoder. Copies of the
    model, which take hooks along, tell nothing.

    Args:
        model: that holds the feature.
        feature: name of its submodule.
        store: is called with height and width whenever a module around the feature is called with pictures.
    """
    parts = feature.split(".")
    modules = {model, *(find_submodule(model, ".".join(parts[:count])) for count in range(1, len(parts) + 1))}
    around = [weakref.ref(module) for module in modules]

    def tell(module: nn.Module, args: tuple, kwargs: dict) -> None:
        size = picture_size(args, kwargs)
        if size is not None and any(module is reference() for reference in around):
            store(size)

    return [module.register_forward_pre_hook(tell, with_kwargs=True) for module in modules]


@contextmanager
def aside(model: nn.Module) -> Iterator[None]:
    """Running a model without a trace: no gradient, no statistics, no random number, no compilation."""
    states = random.getstate(), np.random.get_state()
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    training = {module: module.training for module in model.modules()}
    model.eval()
    stance = getattr(torch.compiler, "set_stance", None)
    try:
        with torch.random.fork_rng(devices), torch.no_grad():
            if stance is None:
                yield
            else:
                with stance("force_eager"):
                    yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        for module, mode in training.items():
            module.training = mode


def run_to(model: nn.Module, feature: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """A submodule's output, without what comes after it.

    Raises:
        InputError: the forward never runs the submodule.
    """
    reached: list[Any] = []

    def stop(module: nn.Module, inputs: tuple, output: Any) -> None:
        reached.append(output)
        raise FeatureReachedError

    handle = feature.register_forward_hook(stop)
    try:
        with suppress(FeatureReachedError):
            model(*args, **kwargs)
    finally:
        handle.remove()
    if not reached:
        raise InputError(f"{type(model).__name__}'s forward never runs the hooked submodule")
    return reached[0]


class DryRun:
    """What one call of a model tells about a feature, before training starts.

    The model runs in evaluation mode, up to the feature, and neither its state nor a random number changes.

    Args:
        model: that holds the feature.
        feature: name of the submodule whose output is wanted.
        args: the model is called with, a picture among them.
        kwargs: it is called with. Default: none.

    Raises:
        InputError: the model never runs the submodule.

    Attributes:
        output: output of the submodule.
        size: height and width of the picture as the encoder sees it; None when unknown.
        called: the submodules that ran up to the feature.
    """

    def __init__(self, model: nn.Module, feature: str, args: Sequence[Any], kwargs: Mapping[str, Any] = {}) -> None:
        self.called: set[nn.Module] = set()
        self.size: tuple[int, int] | None = None
        self.args, self.kwargs = args, kwargs
        handles = [
            module.register_forward_pre_hook(lambda module, _: self.called.add(module)) for module in model.modules()
        ]
        handles += watch_size(model, feature, lambda size: setattr(self, "size", size))
        try:
            with aside(model):
                self.output = run_to(model, find_submodule(model, feature), args, kwargs)
        finally:
            for handle in handles:
                handle.remove()

    def channels(self, index: Sequence[Step] = ()) -> int:
        """How many channels the part of the output has that a path of indices and keys leads to."""
        feature = pick(self.output, index)
        if self.size is None and isinstance(feature, Tensor) and feature.ndim == 3:
            return feature.shape[2]
        return as_map(feature, *(self.size or (1, 1))).shape[1]

    def pruned_copy(self, model: nn.Module, feature: str) -> nn.Module:
        """A copy of the model without the submodules that the feature does not need.

        It is tried with the same call; a model whose feature depends on submodules that are used without being called
        is copied whole.
        """
        unused = [module for child in model.children() for module in self._unused(child)]
        pruned = copy.deepcopy(model, {id(module): _LeftOut() for module in unused})
        try:
            with aside(pruned):
                output = run_to(pruned, find_submodule(pruned, feature), self.args, self.kwargs)
            same = _equal(output, self.output)
        except Exception:
            same = False
        return pruned if same else copy.deepcopy(model)

    def _unused(self, module: nn.Module) -> list[nn.Module]:
        if not any(part in self.called for part in module.modules()):
            return [module]
        return [unused for child in module.children() for unused in self._unused(child)]


class _LeftOut(nn.Module):
    """Stands where a submodule was that the feature does not need."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise InputError(
            "the momentum branch needs a submodule that a dry run did not use: name the part of the "
            "model that it is to copy whole, branch='...'"
        )


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, Mapping):
        return all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return all(_equal(x, y) for x, y in zip(a, b, strict=True))
    return True
