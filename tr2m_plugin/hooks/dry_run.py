"""One picture of the training data through a model, as MMEngine calls it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from tr2m_plugin.contrast.feature import DryRun, aside
from tr2m_plugin.errors import InputError


def arguments(model: nn.Module, data: Any) -> tuple[tuple, dict[str, Any]]:
    """What MMEngine's models are called with for a batch of a loader, positional and by name."""
    preprocess: Any = getattr(model, "data_preprocessor", None)
    batch = data if preprocess is None else preprocess(data, False)
    parameters = inspect.signature(model.forward).parameters
    takes_mode = "mode" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    mode = {"mode": "loss"} if takes_mode else {}
    if isinstance(batch, Mapping):
        return (), {**batch, **mode}
    return tuple(batch) if isinstance(batch, (list, tuple)) else (batch,), mode


def dry_run(model: nn.Module, feature: str, dataset: Any, collate: Any) -> DryRun:
    """What the first picture of a dataset tells about a feature.

    Args:
        model: called as `model(**batch, mode="loss")`, after its `data_preprocessor` where it has one.
        feature: name of the submodule whose output is wanted.
        dataset: dataset of the training data.
        collate: makes a batch of a list of its items.

    Raises:
        InputError: the model cannot be called so, or never runs the submodule.
    """
    try:
        with aside(model):
            args, kwargs = arguments(model, collate([dataset[0]]))
        return DryRun(model, feature, args, kwargs)
    except InputError:
        raise
    except Exception as error:  # somebody's own code
        raise InputError(
            f"{type(model).__name__} cannot be called with one picture of the training data as MMEngine's models "
            f"are, model(**batch, mode='loss') ({type(error).__name__}: {error}): give SOCHook in_channels and "
            "branch, which it then need not find out"
        ) from error
