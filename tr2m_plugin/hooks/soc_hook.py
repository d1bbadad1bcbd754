"""Scale-oriented contrast for any depth model that MMEngine trains (paper, section 3.3)."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import ExponentialMovingAverage, is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from tr2m_plugin.errors import InputError
from tr2m_plugin.registry import HOOKS, MODELS
from tr2m_plugin.structures import stack_maps

PROJECTOR = "soc_projector"
CHECKPOINT_KEY = "soc_hook"


class _FeatureReachedError(Exception):
    """Ends the key branch's forward once its feature is known."""


def find_submodule(model: nn.Module, name: str) -> nn.Module:
    """The submodule of that name.

    Raises:
        InputError: there is none; the message lists names that come near.
    """
    modules = dict(model.named_modules())
    if name in modules:
        return modules[name]
    near = get_close_matches(name, modules, n=5, cutoff=0.4) or list(modules)[1:6]
    raise InputError(f"{type(model).__name__} has no submodule {name!r}; names near it: {', '.join(near)}")


def as_map(feature: Any, height: int, width: int) -> Tensor:
    """A feature as a map (B, C, h, w).

    Args:
        feature: (B, C, h, w), or tokens (B, N, C) in rows, with or without a class token in front.
        height: of the picture, whose shape tells how N tokens divide into rows.
        width: of the picture.

    Raises:
        InputError: it is neither.
    """
    if isinstance(feature, Tensor) and feature.ndim == 4:
        return feature
    if isinstance(feature, Tensor) and feature.ndim == 3:
        for first in (0, 1):
            count = feature.shape[1] - first
            rows = round((count * height / width) ** 0.5)
            if rows and count % rows == 0:
                return feature[:, first:].transpose(1, 2).unflatten(2, (rows, count // rows))
    shape = tuple(feature.shape) if isinstance(feature, Tensor) else type(feature).__name__
    raise InputError(
        f"the hooked feature must be (B, C, h, w), or (B, N, C) with N tokens that tile a {height} × {width} picture, "
        f"not {shape}"
    )


@HOOKS.register_module()
class SOCHook(Hook):
    """Adds `loss_soc` to the losses of a model whose data samples carry true depth.

    The feature of a named submodule is projected and contrasted with key maps by depth class. Keys come from a momentum
    branch: an exponential moving average of `branch` and of the projector. Each image meets its own key map and that of
    another image of the batch. The projector becomes the model's submodule `soc_projector`; removing the hook later
    leaves a checkpoint that loads with those keys unused.

    Args:
        feature: name of the submodule whose output is contrasted, as in `model.named_modules()`.
        in_channels: channels of that feature.
        branch: name of the submodule that the key branch copies and that contains the feature; it is fed what the
            model feeds it, so whatever comes before, frozen networks above all, is neither copied nor run twice.
            Default: the whole model.
        projector: options of `SOCProjector`.
        loss: options of `ScaleOrientedContrastLoss`; the weight is 0.1 by default.
        momentum: share of the new weights in the moving average; 0.01 is the paper's coefficient of 0.99.
        keys: which key maps: `self`, `shuffled` or both. Default: both.
        gt: field of the data samples that holds true depth. Default: gt_depth_map.
        start: the epoch, counted from 0, from which on the loss counts; before it the loss is zero, and the key branch
            follows the model. Default: 0.
        by_epoch: whether `start` is an epoch or an iteration. Default: True.

    Raises:
        InputError: the model has no such submodule, or the feature's shape is unknown.
    """

    priority = "ABOVE_NORMAL"

    def __init__(
        self,
        feature: str,
        in_channels: int,
        branch: str = "",
        projector: dict | None = None,
        loss: dict | None = None,
        momentum: float = 0.01,
        keys: Sequence[str] = ("self", "shuffled"),
        gt: str = "gt_depth_map",
        start: int = 0,
        by_epoch: bool = True,
    ) -> None:
        if branch and feature != branch and not feature.startswith(f"{branch}."):
            raise InputError(f"feature {feature!r} is not inside branch {branch!r}")
        if not keys or set(keys) - {"self", "shuffled"}:
            raise InputError(f"keys must be some of 'self' and 'shuffled', not {tuple(keys)}")
        self.feature, self.branch, self.gt = feature, branch, gt
        self.keys, self.momentum = tuple(keys), momentum
        self.projector_cfg = {"type": "tr2m_plugin.SOCProjector", "in_channels": in_channels, **(projector or {})}
        self.loss = MODELS.build({"type": "tr2m_plugin.ScaleOrientedContrastLoss", **(loss or {})})
        self.start, self.by_epoch = start, by_epoch
        self._started = False
        self._restored = False
        self._captured: dict[str, Any] = {}

    def before_train(self, runner: Runner) -> None:
        """Starts the key branch from the weights that training starts from."""
        if not self._restored:
            # The first update of MMEngine's moving average copies.
            self._key.update_parameters(self._online)

    def before_run(self, runner: Runner) -> None:
        """Adds the projector to model and optimizer and makes the key branch."""
        if not isinstance(runner.optim_wrapper, OptimWrapper):
            return  # testing: there is nothing to add a loss to
        wrapped = runner.model
        model = wrapped.module if is_model_wrapper(wrapped) else wrapped
        device = next(model.parameters()).device
        find_submodule(model, self.feature)
        projector = MODELS.build(self.projector_cfg).to(device)
        self._online = nn.ModuleDict({"branch": find_submodule(model, self.branch), "projector": projector})
        # Copied before any hook is registered: a copy would carry the hooks along.
        self._key = ExponentialMovingAverage(self._online, momentum=self.momentum, update_buffers=True)
        self._key.requires_grad_(False).eval()
        model.add_module(PROJECTOR, projector)
        runner.optim_wrapper.param_groups[0]["params"].extend(projector.parameters())
        if is_model_wrapper(wrapped):
            # DDP synchronises the gradients of the parameters that it saw when it was made.
            runner.model = runner.wrap_model(runner.cfg.get("model_wrapper_cfg"), model)
        self._register(model)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Decides whether the loss counts."""
        self._started = (runner.epoch if self.by_epoch else runner.iter) >= self.start

    def _register(self, model: nn.Module) -> None:
        # Copies of the model share these closures; the weak reference keeps copies out.
        target, hook = weakref.ref(model), weakref.ref(self)
        captured = self._captured

        def wanted() -> bool:
            return bool(target() is not None and target().training)  # type: ignore[union-attr]

        def capture_inputs(module: nn.Module, args: tuple, kwargs: dict) -> None:
            if wanted():
                captured["inputs"] = (args, kwargs)

        def capture_feature(module: nn.Module, args: tuple, output: Any) -> None:
            if wanted():
                captured["feature"] = output

        def add_loss(module: nn.Module, args: tuple, kwargs: dict, output: Any) -> Any:
            this = hook()
            if module is not target() or this is None or not module.training or not isinstance(output, dict):
                return None
            samples = kwargs.get("data_samples", args[1] if len(args) > 1 else None)
            return {**output, "loss_soc": this._contrast(samples)}

        def stop(module: nn.Module, args: tuple, output: Any) -> None:
            captured["key"] = output
            raise _FeatureReachedError

        find_submodule(model, self.branch).register_forward_pre_hook(capture_inputs, with_kwargs=True)
        find_submodule(model, self.feature).register_forward_hook(capture_feature)
        model.register_forward_hook(add_loss, with_kwargs=True)
        inside = self.feature[len(self.branch) :].lstrip(".")
        find_submodule(self._key.module["branch"], inside).register_forward_hook(stop)

    def _contrast(self, samples: Any) -> Tensor:
        if not self._started:
            self._captured.clear()
            # DistributedDataParallel wants a gradient, if only zero, for every parameter.
            return torch.stack([0 * parameter.sum() for parameter in self._online["projector"].parameters()]).sum()
        depth = stack_maps(samples, self.gt)
        size = depth.shape[-2:]
        query = self._online["projector"](as_map(self._captured.pop("feature"), *size))
        args, kwargs = self._captured.pop("inputs")
        with torch.no_grad():
            with suppress(_FeatureReachedError):
                self._key.module["branch"](*args, **kwargs)
            key = self._key.module["projector"](as_map(self._captured.pop("key"), *size))
        # The batch is in random order already, so its neighbour is a random other image.
        maps = {"self": (key, depth), "shuffled": (key.roll(1, 0), depth.roll(1, 0))}
        chosen = [maps[name] for name in self.keys]
        return self.loss(query, [k for k, _ in chosen], depth, [d for _, d in chosen])

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Moves the key branch once per optimizer step."""
        if runner.optim_wrapper.should_update():
            self._key.update_parameters(self._online)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keeps the key branch in the checkpoint."""
        checkpoint[CHECKPOINT_KEY] = self._key.state_dict()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Restores the key branch when training resumes; after `load_from` it starts from the loaded weights."""
        if runner._resume and CHECKPOINT_KEY in checkpoint:
            self._key.load_state_dict(checkpoint[CHECKPOINT_KEY])
            self._restored = True
