"""Depth models of every kind behind one interface that says what it returns.

Importing their modules registers the kinds.
"""

from __future__ import annotations

import os

from tr2m_plugin.benchmark.estimators.base import (
    ESTIMATORS,
    Estimator,
    Facts,
    Maps,
    Request,
    Returns,
    complete,
    register,
)
from tr2m_plugin.benchmark.estimators.mmengine_model import MMEngineEstimator
from tr2m_plugin.benchmark.estimators.networks import RelativeEstimator, TransformersEstimator
from tr2m_plugin.benchmark.estimators.program import ProgramEstimator
from tr2m_plugin.benchmark.estimators.tr2m import TR2MEstimator
from tr2m_plugin.device import pick_device
from tr2m_plugin.errors import InputError

__all__ = [
    "Estimator",
    "Facts",
    "MMEngineEstimator",
    "Maps",
    "ProgramEstimator",
    "RelativeEstimator",
    "Request",
    "Returns",
    "TR2MEstimator",
    "TransformersEstimator",
    "open_estimator",
    "register",
]


def open_estimator(
    model: str | os.PathLike,
    weights: str | None = None,
    device: str = "auto",
    dtype: str = "float32",
    returns: Returns | None = None,
) -> Estimator:
    """The estimator that fits a model.

    Args:
        model: a TR2M model folder; an MMEngine config (with `weights`); a depth network of transformers by hub id,
            folder or the name of a packaged one; or a program, as `FILE.py:CLASS` or `PACKAGE.MODULE:CLASS`, which is
            run (see `Estimator`).
        weights: checkpoint for a config or a program. Default: none.
        device: torch device, or "auto". Default: auto.
        dtype: precision of transformers' networks. Default: float32.
        returns: what the model's numbers mean, where it does not say itself. Default: what it says.

    Raises:
        InputError: it is none of these, or does not say what it returns, or not by a `Returns`.
    """
    request = Request(os.fspath(model), weights, pick_device(device), dtype, returns)
    asked = sorted(ESTIMATORS, key=lambda kind: kind.takes_the_rest)  # otherwise as they are
    kind = next((kind for kind in asked if kind.opens(request)), None)
    if kind is None:
        raise InputError(
            f"{request.model} has weights of its own: --weights is for configs, programs and TR2M's folders"
        )
    return complete(kind.open(request), request)
