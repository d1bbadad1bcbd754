"""Depth models of MMEngine configs, such as NeWCRFs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.structures import PixelData

from tr2m_plugin.benchmark.estimators.base import Estimator, Facts, Request, Returns, public_name, register
from tr2m_plugin.checkpoint import state_hash
from tr2m_plugin.errors import InputError
from tr2m_plugin.inference.model_folder import count_parameters
from tr2m_plugin.registry import MODELS, scoped
from tr2m_plugin.state_dicts import fit, read_weights
from tr2m_plugin.structures import DepthDataSample


@register
class MMEngineEstimator(Estimator):
    """A depth model of an MMEngine config, such as NeWCRFs, in the unit of the data it was trained on.

    Pictures go through the model's data preprocessor at their own size.

    Args:
        config: file with `model`.
        weights: checkpoint.
        device: torch device.
        returns: what its numbers mean.
    """

    takes_the_rest = True

    def __init__(self, config: str, weights: str, device: str, returns: Returns) -> None:
        spec = Config.fromfile(config)
        self.model = MODELS.build(scoped(spec.model.to_dict()))
        source, state = read_weights(weights)
        try:
            self.model.load_state_dict(fit(self.model, state, source, more=True))
        except InputError as error:
            raise InputError(f"{config}: {error}") from error
        self.model = self.model.to(device).eval()
        if hasattr(self.model, "flip_average"):
            self.model.flip_average = False  # the protocol decides
        self.returns = returns
        about = {"type": "I → M", "train_params": count_parameters(self.model)}
        self.facts = Facts(Path(config).stem, public_name(config), state_hash(self.model), about)

    @classmethod
    def opens(cls, request: Request) -> bool:
        return request.model.endswith(".py")

    @classmethod
    def open(cls, request: Request) -> Estimator:
        if request.weights is None or not Path(request.model).is_file():
            if not Path(request.model).is_file():
                raise InputError(f"{request.model} does not exist")
            raise InputError(
                f"{request.model} is taken for a config: give the weights of a checkpoint too, or for a class of one's "
                f"own its name, as {request.model}:CLASS"
            )
        returns = request.returns or Returns("depth", metric=True)
        return cls(request.model, request.weights, request.device, returns)

    @torch.no_grad()
    def predict(
        self, images: Sequence[np.ndarray], texts: Sequence[str], size: Sequence[int] | None = None
    ) -> list[np.ndarray]:
        found = []
        for image in images:  # of any sizes
            pixels = torch.from_numpy(image.transpose(2, 0, 1).copy())
            sample = DepthDataSample(gt_depth_map=PixelData(data=torch.zeros(1, *image.shape[:2])))
            (out,) = self.model.test_step({"inputs": [pixels], "data_samples": [sample]})
            found.append(out.pred_depth_map.data[0].float().cpu().numpy())
        return found
