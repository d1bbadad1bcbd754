"""What a model does with its losses so that the contrast is not trained on, and says nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from tr2m_plugin.errors import InputError

RESUMING = "resume with what it had, or start from its weights with load_from and without resume"


def check_losses(name: str, losses: Mapping[str, Any]) -> Iterator[str]:
    """What is to be said about the names of a model's losses, beside which one of that name is put.

    Raises:
        InputError: the name is taken.
    """
    if name in losses:
        raise InputError(f"the model returns a {name} of its own: give SOCHook another name, name='...'")
    if "loss" in losses:
        yield (
            "in the log, `loss` is the model's loss of that name, which hides MMEngine's total of the same name; "
            f"{name} is trained on and logged beside it"
        )


def idle(model: nn.Module | None, name: str, added: bool, returned: str | None) -> str:
    """Why an iteration ended without the loss having been trained on.

    Args:
        model: that was trained.
        name: name of the loss.
        added: whether the model's forward returned losses that it was added to.
        returned: what the forward returned otherwise.
    """
    kind = type(model).__name__
    if added:
        return (
            f"{name} was added to what {kind}'s forward returned, but not to what is trained on: its train_step must "
            "sum all losses of the dict, as self.parse_losses does"
        )
    if returned:
        return (
            f"no {name}: {kind}'s forward returned a {returned} in training, and SOCHook needs a dict of losses: have "
            "forward(..., mode='loss') return one"
        )
    return (
        f"no {name}: {kind} was trained without a call of its forward in mode 'loss': in its train_step, call "
        "self(..., mode='loss'), which returns the dict of losses, and not a method such as self.loss(...)"
    )
