"""TR2M and RSA, which take a sentence with each picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.config import Config

from tr2m_plugin.benchmark.estimators.base import (
    Estimator,
    Facts,
    Maps,
    Request,
    Returns,
    public_name,
    register,
    short_name,
)
from tr2m_plugin.checkpoint import state_hash
from tr2m_plugin.errors import InputError
from tr2m_plugin.inference.inferencer import TR2MInferencer
from tr2m_plugin.inference.model_folder import describe_model, is_model_folder
from tr2m_plugin.inference.released import is_released
from tr2m_plugin.structures import DepthDataSample


@register
class TR2MEstimator(Estimator):
    """TR2M or RSA: a model folder, the authors' weights by name, or a config with a checkpoint.

    Args:
        model: see `TR2MInferencer`.
        weights: see `TR2MInferencer`.
        device: torch device.
        returns: metric depth; its unit, None for the dataset's. Default: the unit that the model's training had for
            scenes so described, as `ModelSpec.unit_of` says.

    Raises:
        InputError: what it is said to return is no metric depth; or see `TR2MInferencer`.
    """

    needs_text = True
    takes_plain = True

    def __init__(self, model: str, weights: str | None, device: str, returns: Returns | None = None) -> None:
        if returns is not None and (returns.space, returns.metric) != ("depth", True):
            raise InputError(
                f"{model} returns metric depth, not {'metric' if returns.metric else 'affine-invariant'} "
                f"{returns.space}"
            )
        self.inferencer = TR2MInferencer(model, weights, device, show_progress=False)
        self.unit_rule = "text" if returns is None else "dataset"
        self.returns = returns or Returns("depth", metric=True)
        name, about = describe_model(self.inferencer.model, self.inferencer.spec)
        label = f"{name} ({short_name(model)})"
        self.facts = Facts(label, public_name(model), state_hash(self.inferencer.model), about)

    @classmethod
    def opens(cls, request: Request) -> bool:
        if request.model.endswith(".py"):
            return Path(request.model).is_file() and "relative_depth" in Config.fromfile(request.model)
        return is_released(request.model) or is_model_folder(request.model)

    @classmethod
    def open(cls, request: Request) -> Estimator:
        return cls(request.model, request.weights, request.device, request.returns)

    def predict(
        self,
        images: Sequence[np.ndarray],
        texts: Sequence[str],
        size: Sequence[int] | None = None,
        normalize: bool = True,
    ) -> list[np.ndarray]:
        return [_array(sample, "pred_depth") for sample in self._samples(images, texts, size, normalize)]

    def maps(
        self,
        images: Sequence[np.ndarray],
        texts: Sequence[str],
        size: Sequence[int] | None = None,
        normalize: bool = True,
    ) -> list[Maps]:
        names = ("relative_depth", "scale", "shift")
        samples = self._samples(images, texts, size, normalize)
        return [Maps(*(_array(sample, name) for name in names)) for sample in samples]

    def _samples(
        self, images: Sequence[np.ndarray], texts: Sequence[str], size: Sequence[int] | None, normalize: bool
    ) -> list[DepthDataSample]:
        return self.inferencer.forward(self.inferencer.preprocess(images, texts, size, True, normalize))

    def unit_of(self, text: str) -> str | None:
        return self.inferencer.spec.unit_of(text) if self.unit_rule == "text" else None


def _array(sample: DepthDataSample, name: str) -> np.ndarray:
    return sample.get(f"{name}_map").data[0].float().cpu().numpy()
