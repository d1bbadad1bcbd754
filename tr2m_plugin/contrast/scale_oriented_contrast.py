"""Scale-oriented contrast on a feature of somebody's model, in any training loop (paper, section 3.3)."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.model import ExponentialMovingAverage
from torch import Tensor, nn

from tr2m_plugin.contrast.capture import capture, stop_at
from tr2m_plugin.contrast.checks import check_contrast, check_feature, few_cells, unlike
from tr2m_plugin.contrast.feature import DryRun, FeatureReachedError, Step, as_map, find_submodule, pick
from tr2m_plugin.errors import InputError
from tr2m_plugin.losses.scale_oriented_contrast import ScaleOrientedContrastLoss
from tr2m_plugin.registry import MODELS
from tr2m_plugin.tensors import valid_depth


class ScaleOrientedContrast:
    """A loss that contrasts a feature of a model with key maps by depth class.

    The feature is that of the model's last forward in training mode. It is projected, and contrasted with the keys of
    a momentum branch: an exponential moving average of the encoder, which is whatever runs up to the feature, and of
    the projector. Each image meets its own key map and that of another image of the batch.

    In a loop, the projector's parameters go to the optimizer, the loss is added after the model's forward, and
    `update` follows the optimizer's step:

        >>> import torch
        >>> from torch import nn
        >>> from tr2m_plugin.contrast import ScaleOrientedContrast
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 1))
        >>> contrast = ScaleOrientedContrast(model, feature="1", in_channels=8, projector={"pool": 1})
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> optimizer.add_param_group({"params": contrast.parameters()})
        >>> pictures, depth = torch.rand(2, 3, 24, 32), torch.rand(2, 1, 24, 32) + 1
        >>> loss = (model(pictures) - depth).abs().mean() + contrast(depth)
        >>> loss.backward()
        >>> optimizer.step()
        >>> contrast.update()

    Args:
        model: whose feature it is, on the device and in the precision that it is trained in; in training mode when it
            is to leave its feature behind.
        feature: name of the submodule whose output is contrasted, as in `model.named_modules()`: (B, C, h, w), or
            tokens (B, N, C) with or without class and register tokens in front.
        in_channels: C. Default: that of the dry run.
        index: which part of the output, where it is a tuple or a mapping: a number, a key, or several of them from
            outside to inside. Default: the output is the feature.
        branch: name of the submodule that the key branch copies and that contains the feature; it is fed what the
            model feeds it. Default: the model, without what a dry run shows the feature not to need.
        projector: options of `SOCProjector`, or of another module by `type`.
        loss: loss of query, keys and their depth. Default: `ScaleOrientedContrastLoss()`, the paper's.
        momentum: share of the new weights in the moving average. Default: 0.01, the paper's coefficient of 0.99.
        keys: which key maps: `self`, `shuffled` or both. Default: both.
        dry_run: a dry run of the model, up to the feature. Default: none.

    Raises:
        InputError: the model has no such submodule, or an option cannot be meant.

    Attributes:
        projector: the module that is trained beside the model.
        online: what the key branch follows.
        key: the moving average of `online`.
        captured: what the last forward left behind.
    """

    def __init__(
        self,
        model: nn.Module,
        feature: str,
        in_channels: int | None = None,
        index: Step | Sequence[Step] = (),
        branch: str = "",
        projector: Mapping[str, Any] | None = None,
        loss: ScaleOrientedContrastLoss | None = None,
        momentum: float = 0.01,
        keys: Sequence[str] = ("self", "shuffled"),
        dry_run: DryRun | None = None,
    ) -> None:
        check_contrast(feature, branch, momentum, keys)
        followed = find_submodule(model, branch)
        find_submodule(model, feature)
        self.feature, self.branch, self.keys = feature, branch, tuple(keys)
        self.index = (index,) if isinstance(index, (int, str)) else tuple(index)
        self.loss = ScaleOrientedContrastLoss() if loss is None else loss
        if not in_channels and dry_run is None:
            raise InputError(f"how many channels has {feature!r}? Give in_channels, or a dry run of the model")
        self.in_channels = in_channels or dry_run.channels(self.index)  # type: ignore[union-attr]
        self.projector = _projector(model, {**(projector or {}), "in_channels": self.in_channels})
        self.online = nn.ModuleDict({"branch": followed, "projector": self.projector})
        # Copied before any hook is registered: a copy would carry the hooks along.
        copied = followed if branch or dry_run is None else dry_run.pruned_copy(model, feature)
        key = nn.ModuleDict({"branch": copied, "projector": self.projector})
        self.key = ExponentialMovingAverage(key, momentum=momentum, update_buffers=True)
        # In evaluation mode it drops nothing and leaves running statistics to the moving average.
        self.key.requires_grad_(False).eval()
        self.captured: dict[str, Any] = {}
        own = weakref.ref(self)  # the model's hooks do not keep it
        capture(model, feature, branch, self.captured, lambda: _begin(own()))
        stop_at(self.key.module["branch"], feature[len(branch) :].lstrip("."), self.captured)
        self.checked = self._contrasted = self._begun = False
        self._warned: set[str] = set()

    def parameters(self) -> Iterator[nn.Parameter]:
        """Parameters of the projector, for the optimizer."""
        return self.projector.parameters()

    def begin(self) -> None:
        """Starts the key branch from the weights as they are; the first forward in training does so too."""
        if not self._begun:
            # The first update of MMEngine's moving average copies.
            self.key.update_parameters(self.online)
        self._begun = True

    # Exceptions that end a forward, and shapes of one iteration only, are not for a compiler.
    @torch.compiler.disable
    def __call__(self, depth: Tensor) -> Tensor:
        """The loss of the model's last forward, weighted, a number.

        Args:
            depth: true depth, (B, 1, H, W), not finite or not above 0 where there is none.

        Raises:
            InputError: the model did not run up to the feature; its shape or channels are not as promised, or it
                carries no gradient.
        """
        feature = self._map("feature", depth)
        self._check(feature, depth)
        query = self.projector(feature)
        if "inputs" not in self.captured:
            raise InputError(
                f"{self.feature!r} ran, but {self.branch or 'the model'} was not called as a whole, as the key branch "
                "is: call it, model(...) and not a method of it, or name the part that is called, branch='...'"
            )
        inputs, options = self.captured["inputs"]
        with torch.no_grad():
            with suppress(FeatureReachedError):
                self.key.module["branch"](*inputs, **options)
            if "key" not in self.captured:
                raise InputError(f"a copy of the model never runs its own {self.feature!r}: does it hold on to itself?")
            key = self.key.module["projector"](self._map("key", depth))
        size = self.captured.get("size", (depth.shape[-2], depth.shape[-1]))
        self.clear()
        depth = depth.to(query.device)
        self._check_contrast(query, depth)
        # The batch is in random order already, so its neighbour is a random other image.
        maps = {"self": (key, depth), "shuffled": (key.roll(1, 0), depth.roll(1, 0))}
        chosen = [maps[name] for name in self.keys]
        # The picture and its cells before the projector's pooling, whose windows are those of the classes too.
        grids = [size, (feature.shape[-2], feature.shape[-1])]
        return self.loss(query, [k for k, _ in chosen], depth, [d for _, d in chosen], grids)

    def check(self, depth: Tensor) -> None:
        """Whether the model's last forward left a feature that can be contrasted; see `__call__`."""
        self._check(self._map("feature", depth), depth)

    def zero(self) -> Tensor:
        """No loss, of the projector's parameters.

        DistributedDataParallel wants a gradient, if only zero, for every parameter.
        """
        return torch.stack([0 * parameter.sum() for parameter in self.parameters()]).sum()

    def update(self) -> None:
        """Moves the key branch, once per step of the optimizer, and forgets the last forward."""
        self.clear()
        self.key.update_parameters(self.online)

    def clear(self) -> None:
        """Forgets the last forward."""
        self.captured.clear()

    def state_dict(self) -> dict[str, Any]:
        """Projector, key branch, and which feature it is of."""
        return {
            "projector": self.projector.state_dict(),
            "key": self.key.state_dict(),
            "contrasts": self._contrasts(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave.

        Raises:
            InputError: it is of another feature, or of another projector.
        """
        now = self._contrasts()
        before = state.get("contrasts", now)
        if before != now:
            raise InputError(unlike(before, now))
        try:
            self.projector.load_state_dict(state["projector"])
            self.key.load_state_dict(state["key"])
        except RuntimeError as error:
            raise InputError(unlike({}, {"feature": self.feature, "in_channels": self.in_channels})) from error
        self._begun = True

    def warn(self, message: str) -> None:
        """Logs a line, once."""
        if message not in self._warned:
            print_log(f"scale-oriented contrast: {message}", "current", logging.WARNING)
            self._warned.add(message)

    def _contrasts(self) -> dict[str, Any]:
        return {"feature": self.feature, "index": list(self.index), "branch": self.branch}

    def _map(self, name: str, depth: Tensor) -> Tensor:
        if name not in self.captured:
            raise InputError(f"the model's forward in training never ran {self.feature!r}")
        size = self.captured.get("size", depth.shape[-2:])
        return as_map(pick(self.captured[name], self.index), size[0], size[1])

    def _check(self, feature: Tensor, depth: Tensor) -> None:
        if self.checked:
            return
        check_feature(self.feature, self.in_channels, feature, depth)
        if not valid_depth(depth).flatten(1).any(1).all():
            self.warn("some pictures of the first batch hold no depth at all")
        self.checked = True

    def _check_contrast(self, query: Tensor, depth: Tensor) -> None:
        if "shuffled" in self.keys and len(query) == 1:
            self.warn("in a batch of one picture, the shuffled key map is the picture's own")
        if not self._contrasted and (message := few_cells(self.loss, query, depth)):
            self.warn(message)
        self._contrasted = True


def _begin(contrast: ScaleOrientedContrast | None) -> None:
    if contrast is not None:
        contrast.begin()


def _projector(model: nn.Module, options: Mapping[str, Any]) -> nn.Module:
    """A new projector where the model is, and in its precision."""
    like = next(parameter for parameter in model.parameters() if parameter.is_floating_point())
    # Without a trace in the random numbers, training sees the same pictures with the contrast and without.
    with torch.random.fork_rng(devices=[]):
        projector = MODELS.build({"type": "tr2m_plugin.SOCProjector", **options})
    return projector.to(like.device, like.dtype)
