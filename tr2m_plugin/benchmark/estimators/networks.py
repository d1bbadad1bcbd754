"""Depth networks of transformers, relative and metric."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tr2m_plugin.benchmark.estimators.base import Estimator, Facts, Request, Returns, public_name, register, short_name
from tr2m_plugin.checkpoint import state_hash
from tr2m_plugin.errors import InputError
from tr2m_plugin.models.frozen.depth_network import DepthNetwork, output_of
from tr2m_plugin.models.frozen.encoders import load_pretrained
from tr2m_plugin.models.frozen.relative_depth import RelativeDepth


class RelativeEstimator(Estimator):
    """A relative depth network of transformers: Depth Anything, MiDaS, DPT.

    Args:
        pretrained: see `RelativeDepth`.
        device: torch device.
        dtype: precision of the weights.
    """

    takes_plain = True

    def __init__(self, pretrained: str, device: str, dtype: str) -> None:
        self.network = RelativeDepth(pretrained, dtype=dtype, device=device, aligned=True)
        self.returns = Returns("disparity", metric=False)
        about = {"type": "I → R", "domains": "Multiple", "backbone": short_name(pretrained)}
        self.facts = Facts(short_name(pretrained), public_name(pretrained), state_hash(self.network.network), about)

    def predict(
        self,
        images: Sequence[np.ndarray],
        texts: Sequence[str],
        size: Sequence[int] | None = None,
        normalize: bool = True,
    ) -> list[np.ndarray]:
        if size is not None:
            return list(self.network.predict(images, size, normalize=normalize)[:, 0].cpu().numpy())
        return [self.network.predict([image], normalize=normalize)[0, 0].cpu().numpy() for image in images]


@register
class TransformersEstimator(Estimator):
    """Any other depth network of transformers, with its own preprocessing.

    Args:
        pretrained: see `DepthNetwork`.
        returns: what its numbers mean.
        device: torch device.
        dtype: precision of the weights.
    """

    takes_the_rest = True

    def __init__(self, pretrained: str, returns: Returns, device: str, dtype: str) -> None:
        self.network = DepthNetwork(pretrained, dtype=dtype, device=device)
        self.returns = returns
        about = {"type": "I → M" if returns.metric else "I → R", "backbone": short_name(pretrained)}
        self.facts = Facts(short_name(pretrained), public_name(pretrained), state_hash(self.network.network), about)

    @classmethod
    def opens(cls, request: Request) -> bool:
        return request.weights is None and not request.model.endswith(".py")

    @classmethod
    def open(cls, request: Request) -> Estimator:
        name, returns = request.model, request.returns
        config = load_pretrained("AutoConfig", name)
        known = output_of(config)
        if returns is None and known is None:
            raise InputError(
                f"{name} is a {config.model_type}, which does not say what it returns: give --returns depth or "
                "disparity and --unit m, mm or none for affine-invariant"
            )
        if returns is None and known is not None:
            space, metric = known
            returns = Returns(space, metric, "m" if metric else None)
        assert returns is not None
        if known == ("disparity", False) and returns == Returns("disparity", metric=False):
            return RelativeEstimator(name, request.device, request.dtype)
        return cls(name, returns, request.device, request.dtype)

    def predict(
        self, images: Sequence[np.ndarray], texts: Sequence[str], size: Sequence[int] | None = None
    ) -> list[np.ndarray]:
        return [depth.cpu().numpy() for depth in self.network.predict(images)]
