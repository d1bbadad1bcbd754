"""What a training leaves behind of a feature."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from torch import nn

from tr2m_plugin.contrast.feature import FeatureReachedError, find_submodule, watch_size


def capture(
    model: nn.Module, feature: str, branch: str, held: dict[str, Any], begin: Callable[[], None] = lambda: None
) -> None:
    """Keeps the feature, the branch's inputs and the pictures' size whenever the model runs in training.

    Copies of the model share what is registered here; weak references keep the copies out.

    Args:
        model: that is trained.
        feature: name of the submodule whose output is kept, as `feature`.
        branch: name of the submodule whose arguments are kept, as `inputs`.
        held: where it is kept.
        begin: is called before the branch runs. Default: nothing is.
    """
    outer, inner = find_submodule(model, branch), find_submodule(model, feature)
    whole = weakref.ref(model)
    own = [weakref.ref(outer), weakref.ref(inner)]

    def training() -> bool:
        target = whole()
        return target is not None and target.training

    def ours(module: nn.Module) -> bool:
        return training() and any(module is reference() for reference in own)

    def keep_size(size: tuple[int, int]) -> None:
        if training():
            held["size"] = size

    def keep_inputs(module: nn.Module, args: tuple, kwargs: dict) -> None:
        if ours(module):
            begin()
            held["inputs"] = (args, kwargs)

    def keep_feature(module: nn.Module, args: tuple, output: Any) -> None:
        if ours(module):
            held["feature"] = output

    watch_size(model, feature, keep_size)
    outer.register_forward_pre_hook(keep_inputs, with_kwargs=True)
    inner.register_forward_hook(keep_feature)


def stop_at(branch: nn.Module, feature: str, held: dict[str, Any]) -> None:
    """Ends every forward of a copied branch at the feature, which is kept as `key`."""

    def stop(module: nn.Module, args: tuple, output: Any) -> None:
        held["key"] = output
        raise FeatureReachedError

    find_submodule(branch, feature).register_forward_hook(stop)
