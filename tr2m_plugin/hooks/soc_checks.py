"""What goes wrong with a contrast silently, or with a message about something else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from tr2m_plugin.errors import InputError
from tr2m_plugin.losses.scale_oriented_contrast import ScaleOrientedContrastLoss, depth_classes, reduce_classes


def check_feature(name: str, in_channels: int | None, feature: Tensor, depth: Tensor) -> None:
    """Whether a feature (B, C, h, w) is the one that was promised, and can be trained with depth (B, 1, H, W).

    Raises:
        InputError: it is not, or cannot.
    """
    if feature.shape[1] != in_channels:
        raise InputError(f"{name!r} has {feature.shape[1]} channels, but in_channels is {in_channels}")
    if len(feature) != len(depth):
        raise InputError(f"{name!r} holds {len(feature)} images and the samples {len(depth)} depth maps")
    if not feature.requires_grad:
        raise InputError(
            f"{name!r} carries no gradient, so the contrast cannot train it: hook a submodule that is not "
            "frozen and not inside a re-entrant activation checkpoint"
        )


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


def few_cells(loss: ScaleOrientedContrastLoss, query: Tensor, depth: Tensor) -> str | None:
    """A line when most pictures have fewer cells with depth than there are classes."""
    size = (query.shape[-2], query.shape[-1])
    classes = reduce_classes(depth_classes(depth[:, 0], loss.num_classes, loss.depth_range), size)
    measured = int((classes >= 0).flatten(1).sum(1).median())
    if measured >= loss.num_classes:
        return None
    return (
        f"of {size[0]} × {size[1]} cells after the projector {measured} hold depth, fewer than the {loss.num_classes} "
        "classes: set projector=dict(pool=1), a finer feature, or fewer classes"
    )


def idle(model: nn.Module | None, name: str, added: bool, returned: str | None) -> str:
    """Why an iteration ended without the loss having been trained on.

    Args:
        model: that was trained.
        name: of the loss.
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


def unlike(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Why training cannot resume with another feature; without `before` the checkpoint does not say which it had."""
    was, wanted = (
        ", ".join(f"{key}={options[key]!r}" for key in now if key in options and before.get(key) != now[key])
        for options in (before, now)
    )
    return (
        f"the checkpoint was trained with {was or 'another feature, branch or projector'} of SOCHook, not with "
        f"{wanted}: resume with that, or start from the checkpoint's weights with load_from and without resume"
    )
