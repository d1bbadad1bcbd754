"""Where a loss is added to those of somebody's model."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

Contrast = Callable[[tuple, dict[str, Any], dict[str, Any]], Tensor]
"""Makes a loss of a forward's arguments and of the losses that it returned."""


def add_loss(model: nn.Module, name: str, make: Callable[[], Contrast | None], held: dict[str, Any]) -> None:
    """Adds a loss to those that a model returns in training.

    Args:
        model: whose forward in mode `loss` returns a dict.
        name: name of the loss.
        make: gives what makes the loss, None once it is no more.
        held: keeps as `returned` what a forward returned that is no dict.
    """
    whole = weakref.ref(model)

    def add(module: nn.Module, args: tuple, kwargs: dict, output: Any) -> Any:
        contrast = make()
        if contrast is None or module is not whole() or not module.training or kwargs.get("mode", "loss") != "loss":
            return None
        if not isinstance(output, dict):
            held["returned"] = type(output).__name__
            return None
        return {**output, name: contrast(args, kwargs, output)}

    model.register_forward_hook(add, with_kwargs=True)
