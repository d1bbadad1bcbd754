"""Scale-oriented contrast for any depth model that MMEngine trains (paper, section 3.3)."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import ExponentialMovingAverage, is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import IterableDataset

from tr2m_plugin.errors import InputError
from tr2m_plugin.hooks.feature import (
    DryRun,
    FeatureReachedError,
    Step,
    as_map,
    find_submodule,
    pick,
    watch_size,
)
from tr2m_plugin.losses.scale_oriented_contrast import Reduction
from tr2m_plugin.losses.silog import valid_depth
from tr2m_plugin.registry import FUNCTIONS, HOOKS, MODELS
from tr2m_plugin.structures import stack_maps

PROJECTOR = "soc_projector"
CHECKPOINT_KEY = "soc_hook"


@HOOKS.register_module()
class SOCHook(Hook):
    """Adds `loss_soc` to the losses of a model whose data samples carry true depth.

    The feature of a named submodule is projected and contrasted with key maps by depth class. Keys come from a momentum
    branch: an exponential moving average of the encoder, which is whatever runs up to the feature, and of the
    projector. Each image meets its own key map and that of another image of the batch.

    The projector becomes a submodule of the model and its parameters join the optimizer's last group, usually the
    head's. A checkpoint keeps projector, key branch and their optimizer state under a key of their own: to whoever
    loads it, with the hook or without, it is the model's own checkpoint, and training may resume either way.

    Args:
        feature: name of the submodule whose output is contrasted, as in `model.named_modules()`: (B, C, h, w), or
            tokens (B, N, C) with or without class and register tokens in front.
        in_channels: C. Default: found by a dry run on one picture of the training data.
        index: which part of the output, where it is a tuple or a mapping: a number, a key, or several of them from
            outside to inside. Default: the output is the feature.
        branch: name of the submodule that the key branch copies and that contains the feature; it is fed what the
            model feeds it, so whatever comes before, frozen networks above all, is neither copied nor run twice.
            Default: the model from its input on, without what a dry run shows the feature not to need.
        projector: options of `SOCProjector`.
        num_classes: |C| of eq. 7. Default: 20.
        loss_weight: weight of the contrast in the total loss. Default: 0.1.
        negative_reduction: `sum` or `mean` of the negative similarities over the key maps. Default: sum.
        depth_range: (d_min, d_max) of eq. 7 for all images, in the unit of the depth maps. Default: each image's own.
        momentum: share of the new weights in the moving average; 0.01 is the paper's coefficient of 0.99.
        keys: which key maps: `self`, `shuffled` or both. Default: both.
        gt: true depth, 0 where there is none: the name of a field of the data samples, (1, H, W) or (H, W) each; or a
            function that takes the data samples and returns (B, 1, H, W), also as the config of one that is
            registered in FUNCTIONS. Default: gt_depth_map.
        start: the epoch, counted from 0, from which on the loss counts; before it the loss is zero, and the key branch
            follows the model. Default: 0.
        by_epoch: whether `start` is an epoch or an iteration. Default: True.
        interval: the contrast is computed in every so-many-th iteration, and zero in the others. Default: 1.

    Raises:
        InputError: the model has no such submodule; the feature's shape or channels are not as promised, it carries no
            gradient, or samples lack depth; in the first iteration at the latest.
    """

    priority = "ABOVE_NORMAL"

    def __init__(
        self,
        feature: str,
        in_channels: int | None = None,
        index: Step | Sequence[Step] = (),
        branch: str = "",
        projector: dict | None = None,
        num_classes: int = 20,
        loss_weight: float = 0.1,
        negative_reduction: Reduction = "sum",
        depth_range: tuple[float, float] | None = None,
        momentum: float = 0.01,
        keys: Sequence[str] = ("self", "shuffled"),
        gt: str | dict | Callable[[Any], Tensor] = "gt_depth_map",
        start: int = 0,
        by_epoch: bool = True,
        interval: int = 1,
    ) -> None:
        if branch and feature != branch and not feature.startswith(f"{branch}."):
            raise InputError(f"feature {feature!r} is not inside branch {branch!r}")
        if not keys or set(keys) - {"self", "shuffled"}:
            raise InputError(f"keys must be some of 'self' and 'shuffled', not {tuple(keys)}")
        if not 0 < momentum < 1:
            raise InputError(f"momentum must be between 0 and 1, the share of the new weights, not {momentum}")
        if interval < 1:
            raise InputError(f"interval must be 1 or more iterations, not {interval}")
        self.feature, self.in_channels, self.branch = feature, in_channels, branch
        self.index = (index,) if isinstance(index, (int, str)) else tuple(index)
        self.projector_cfg = {"type": "tr2m_plugin.SOCProjector", **(projector or {})}
        self.loss = MODELS.build(
            {
                "type": "tr2m_plugin.ScaleOrientedContrastLoss",
                "num_classes": num_classes,
                "loss_weight": loss_weight,
                "negative_reduction": negative_reduction,
                "depth_range": depth_range,
            }
        )
        self.momentum, self.keys = momentum, tuple(keys)
        self.gt = _function(gt) if isinstance(gt, Mapping) else gt
        self.start, self.by_epoch, self.interval = start, by_epoch, interval
        self._model: nn.Module | None = None
        self._counts = False
        self._checked = False
        self._restored = False
        self._captured: dict[str, Any] = {}

    def before_run(self, runner: Runner) -> None:
        """Adds the projector to model and optimizer and makes the key branch."""
        wrapped = runner.model
        model = wrapped.module if is_model_wrapper(wrapped) else wrapped
        if not isinstance(runner.optim_wrapper, OptimWrapper) or self._model is model:
            return  # testing: there is nothing to add a loss to; or training again: it has been added
        if isinstance(runner.optim_wrapper, OptimWrapperDict):
            raise InputError("SOCHook needs a single optimizer to train its projector with, not several")
        self._model = model
        feature = find_submodule(model, self.feature)
        dry_run = self._dry_run(runner, model)
        self.in_channels = self.in_channels or self._channels(dry_run)
        like = next(parameter for parameter in model.parameters() if parameter.is_floating_point())
        # Without a trace in the random numbers, training sees the same pictures with the hook and without.
        with torch.random.fork_rng(devices=[]):
            projector = MODELS.build({**self.projector_cfg, "in_channels": self.in_channels})
        projector.to(like.device, like.dtype)
        branch = find_submodule(model, self.branch)
        self._online = nn.ModuleDict({"branch": branch, "projector": projector})
        # Copied before any hook is registered: a copy would carry the hooks along.
        copied = branch if self.branch or dry_run is None else dry_run.pruned_copy(model, self.feature)
        key = nn.ModuleDict({"branch": copied, "projector": projector})
        self._key = ExponentialMovingAverage(key, momentum=self.momentum, update_buffers=True)
        # In evaluation mode it drops nothing and leaves running statistics to the moving average.
        self._key.requires_grad_(False).eval()
        self._add_projector(runner, wrapped, model, projector)
        self._register(model, feature)

    def _dry_run(self, runner: Runner, model: nn.Module) -> DryRun | None:
        """A dry run where something is to be learned from one."""
        if self.in_channels and self.branch:
            return None
        loader = runner.train_dataloader
        if isinstance(loader.dataset, IterableDataset):
            if self.in_channels:
                return None
            raise InputError("SOCHook cannot look at a picture of an iterable dataset: give in_channels")
        return DryRun(model, self.feature, loader.dataset, loader.collate_fn)

    def _channels(self, dry_run: DryRun | None) -> int:
        assert dry_run is not None
        feature = pick(dry_run.output, self.index)
        if dry_run.size is None and isinstance(feature, Tensor) and feature.ndim == 3:
            return feature.shape[2]
        return as_map(feature, *(dry_run.size or (1, 1))).shape[1]

    @staticmethod
    def _add_projector(runner: Runner, wrapped: nn.Module, model: nn.Module, projector: nn.Module) -> None:
        model.add_module(PROJECTOR, projector)
        runner.optim_wrapper.optimizer.param_groups[-1]["params"].extend(projector.parameters())
        # The hook saves and loads the projector: a model's checkpoint is the same with and without it.
        model._register_state_dict_hook(_leave_out)
        model.register_load_state_dict_post_hook(_do_not_miss)
        if is_model_wrapper(wrapped):
            # DDP synchronises the gradients of the parameters that it saw when it was made.
            runner.model = runner.wrap_model(runner.cfg.get("model_wrapper_cfg"), model)

    def _register(self, model: nn.Module, feature: nn.Module) -> None:
        branch = find_submodule(model, self.branch)
        # Copies of the model share these closures; the weak references keep copies out.
        hook, whole = weakref.ref(self), weakref.ref(model)
        own = [whole, weakref.ref(branch), weakref.ref(feature)]
        captured = self._captured

        def training() -> bool:
            target = whole()
            return target is not None and target.training

        def ours(module: nn.Module) -> bool:
            return training() and any(module is reference() for reference in own)

        def capture_size(size: tuple[int, int]) -> None:
            if training():
                captured["size"] = size

        def capture_inputs(module: nn.Module, args: tuple, kwargs: dict) -> None:
            if ours(module):
                captured["inputs"] = (args, kwargs)

        def capture_feature(module: nn.Module, args: tuple, output: Any) -> None:
            if ours(module):
                captured["feature"] = output

        def add_loss(module: nn.Module, args: tuple, kwargs: dict, output: Any) -> Any:
            this = hook()
            if this is None or not ours(module) or not isinstance(output, dict):
                return None
            samples = kwargs.get("data_samples", args[1] if len(args) > 1 else None)
            return {**output, "loss_soc": this._contrast(samples)}

        def stop(module: nn.Module, args: tuple, output: Any) -> None:
            captured["key"] = output
            raise FeatureReachedError

        watch_size(model, self.feature, capture_size)
        branch.register_forward_pre_hook(capture_inputs, with_kwargs=True)
        feature.register_forward_hook(capture_feature)
        model.register_forward_hook(add_loss, with_kwargs=True)
        inside = self.feature[len(self.branch) :].lstrip(".")
        find_submodule(self._key.module["branch"], inside).register_forward_hook(stop)

    def before_train(self, runner: Runner) -> None:
        """Starts the key branch from the weights that training starts from."""
        if not self._restored:
            # The first update of MMEngine's moving average copies.
            self._key.update_parameters(self._online)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Decides whether the loss counts."""
        started = (runner.epoch if self.by_epoch else runner.iter) >= self.start
        self._counts = started and runner.iter % self.interval == 0

    # Exceptions that end a forward, and shapes of one iteration only, are not for a compiler.
    @torch.compiler.disable
    def _contrast(self, samples: Any) -> Tensor:
        if not (self._counts or not self._checked):
            self._captured.clear()
            return self._zero()
        if "feature" not in self._captured:
            raise InputError(f"the model's forward in mode 'loss' never runs {self.feature!r}")
        depth = self._true_depth(samples)
        size = self._captured.pop("size", (depth.shape[-2], depth.shape[-1]))
        feature = self._map(self._captured.pop("feature"), size)
        if not self._checked:
            self._check(feature, depth)
        if not self._counts:
            self._captured.clear()
            return self._zero()
        query = self._online["projector"](feature)
        args, kwargs = self._captured.pop("inputs")
        with torch.no_grad():
            with suppress(FeatureReachedError):
                self._key.module["branch"](*args, **kwargs)
            if "key" not in self._captured:
                raise InputError(f"a copy of the model never runs its own {self.feature!r}: does it hold on to itself?")
            key = self._key.module["projector"](self._map(self._captured.pop("key"), size))
        depth = depth.to(query.device)
        # The batch is in random order already, so its neighbour is a random other image.
        maps = {"self": (key, depth), "shuffled": (key.roll(1, 0), depth.roll(1, 0))}
        chosen = [maps[name] for name in self.keys]
        return self.loss(query, [k for k, _ in chosen], depth, [d for _, d in chosen])

    def _zero(self) -> Tensor:
        # DistributedDataParallel wants a gradient, if only zero, for every parameter.
        return torch.stack([0 * parameter.sum() for parameter in self._online["projector"].parameters()]).sum()

    def _map(self, output: Any, size: tuple[int, int]) -> Tensor:
        return as_map(pick(output, self.index), *size)

    def _true_depth(self, samples: Any) -> Tensor:
        if not isinstance(self.gt, str):
            depth = self.gt(samples)
        elif samples is None:
            raise InputError("the model was called without data_samples, which hold true depth: set `gt` to a function")
        else:
            try:
                depth = stack_maps(samples, self.gt)
            except (KeyError, RuntimeError) as error:
                raise InputError(f"SOCHook needs true depth in every sample: {error.args[0]}") from error
        if not isinstance(depth, Tensor) or depth.ndim != 4 or depth.shape[1] != 1:
            found = tuple(depth.shape) if isinstance(depth, Tensor) else type(depth).__name__
            raise InputError(f"true depth must be (B, 1, H, W), not {found}: see SOCHook's `gt`")
        return depth

    def _check(self, feature: Tensor, depth: Tensor) -> None:
        """What would go wrong silently, or with a message about something else."""
        if feature.shape[1] != self.in_channels:
            raise InputError(f"{self.feature!r} has {feature.shape[1]} channels, but in_channels is {self.in_channels}")
        if len(feature) != len(depth):
            raise InputError(f"{self.feature!r} holds {len(feature)} images and the samples {len(depth)} depth maps")
        if not feature.requires_grad:
            raise InputError(
                f"{self.feature!r} carries no gradient, so the contrast cannot train it: hook a submodule that is not "
                "frozen and not inside a re-entrant activation checkpoint"
            )
        if not valid_depth(depth).flatten(1).any(1).all():
            print_log("SOCHook: some pictures of the first batch hold no depth at all", "current", logging.WARNING)
        self._checked = True

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Moves the key branch once per optimizer step."""
        # Activation checkpointing repeats forwards during backward.
        self._captured.clear()
        if runner.optim_wrapper.should_update():
            self._key.update_parameters(self._online)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Puts projector, key branch and the projector's optimizer state under a key of their own."""
        projector = self._online["projector"]
        own: dict[str, Any] = {"projector": projector.state_dict(), "key": self._key.state_dict()}
        if "optimizer" in checkpoint:
            own["optimizer"] = _take_off(checkpoint["optimizer"], len(list(projector.parameters())))
        checkpoint[CHECKPOINT_KEY] = own

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Restores the hook's part when training resumes; after `load_from` the key branch starts from the weights.

        A checkpoint of a training without the hook may be resumed too: projector and key branch start anew.
        """
        if not runner._resume or self._model is None:
            return
        own = checkpoint.get(CHECKPOINT_KEY, {})
        if "optimizer" in checkpoint:
            count = len(list(self._online["projector"].parameters()))
            _put_on(checkpoint["optimizer"], own.get("optimizer", [None] * count))
        if own:
            self._online["projector"].load_state_dict(own["projector"])
            self._key.load_state_dict(own["key"])
            self._restored = True


def _function(config: Mapping[str, Any]) -> Callable[[Any], Tensor]:
    """The registered function that a config names, with the config's other entries as arguments."""
    options = dict(config)
    name = options.pop("type")
    found = name if callable(name) else FUNCTIONS.get(name)
    if found is None:
        raise InputError(f"no function {name!r} is registered in FUNCTIONS; name its module in custom_imports")
    return partial(found, **options)


def _leave_out(model: nn.Module, state: dict, prefix: str, metadata: dict) -> None:
    for name in [name for name in state if name.startswith(f"{prefix}{PROJECTOR}.")]:
        del state[name]


def _do_not_miss(model: nn.Module, keys: Any) -> None:
    keys.missing_keys[:] = [name for name in keys.missing_keys if PROJECTOR not in name.split(".")]


def _take_off(optimizer: dict, count: int) -> list[dict | None]:
    """Takes the last `count` parameters off an optimizer's state dict and returns their state."""
    numbers = optimizer["param_groups"][-1]["params"]
    own, numbers[:] = numbers[-count:], numbers[:-count]
    return [optimizer["state"].pop(number, None) for number in own]


def _put_on(optimizer: dict, states: Sequence[dict | None]) -> None:
    """The inverse of `_take_off`."""
    numbers = optimizer["param_groups"][-1]["params"]
    first = 1 + max((number for group in optimizer["param_groups"] for number in group["params"]), default=-1)
    for number, state in enumerate(states, first):
        numbers.append(number)
        if state is not None:
            optimizer["state"][number] = state
