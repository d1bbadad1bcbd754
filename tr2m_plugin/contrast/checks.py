"""What goes wrong with a contrast silently, or with a message about something else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from tr2m_plugin.errors import InputError
from tr2m_plugin.losses.scale_oriented_contrast import ScaleOrientedContrastLoss


def check_contrast(feature: str, branch: str, momentum: float, keys: Sequence[str]) -> None:
    """Whether options of a contrast can be meant, before there is a model; see `ScaleOrientedContrast`.

    Raises:
        InputError: one cannot.
    """
    if branch and feature != branch and not feature.startswith(f"{branch}."):
        raise InputError(f"feature {feature!r} is not inside branch {branch!r}")
    if not keys or set(keys) - {"self", "shuffled"}:
        raise InputError(f"keys must be some of 'self' and 'shuffled', not {tuple(keys)}")
    if not 0 < momentum < 1:
        raise InputError(f"momentum must be between 0 and 1, the share of the new weights, not {momentum}")


def check_feature(name: str, in_channels: int, feature: Tensor, depth: Tensor) -> None:
    """Whether a feature (B, C, h, w) is the one that was promised, and can be trained with depth (B, 1, H, W).

    Raises:
        InputError: it is not, or cannot.
    """
    if depth.ndim != 4 or depth.shape[1] != 1:
        raise InputError(f"true depth must be (B, 1, H, W), not {tuple(depth.shape)}")
    if feature.shape[1] != in_channels:
        raise InputError(f"{name!r} has {feature.shape[1]} channels, but in_channels is {in_channels}")
    if len(feature) != len(depth):
        raise InputError(f"{name!r} holds {len(feature)} images and the samples {len(depth)} depth maps")
    if not feature.requires_grad:
        raise InputError(
            f"{name!r} carries no gradient, so the contrast cannot train it: hook a submodule that is not "
            "frozen and not inside a re-entrant activation checkpoint"
        )


def few_cells(loss: ScaleOrientedContrastLoss, query: Tensor, depth: Tensor) -> str | None:
    """A line when most pictures have fewer cells with depth than there are classes."""
    size = (query.shape[-2], query.shape[-1])
    classes = loss.classes(depth, size)
    measured = int((classes >= 0).flatten(1).sum(1).median())
    if measured >= loss.num_classes:
        return None
    return (
        f"of {size[0]} × {size[1]} cells after the projector {measured} hold depth, fewer than the {loss.num_classes} "
        "classes: set projector=dict(pool=1), a finer feature, or fewer classes"
    )


def unlike(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Why a state is not that of a contrast; without `before` it does not say which feature it had."""
    was, wanted = (
        ", ".join(f"{key}={options[key]!r}" for key in now if key in options and before.get(key) != now[key])
        for options in (before, now)
    )
    return f"the state is of a contrast with {was or 'another feature, branch or projector'}, not with {wanted}"
