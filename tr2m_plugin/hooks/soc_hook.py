"""Scale-oriented contrast for any depth model that MMEngine trains (paper, section 3.3)."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import IterableDataset

from tr2m_plugin.contrast import ScaleOrientedContrast
from tr2m_plugin.contrast.checks import check_contrast
from tr2m_plugin.contrast.feature import DryRun, Step, find_submodule
from tr2m_plugin.errors import InputError
from tr2m_plugin.hooks.added_loss import add_loss
from tr2m_plugin.hooks.dry_run import dry_run
from tr2m_plugin.hooks.projector_group import ProjectorGroup
from tr2m_plugin.hooks.soc_checks import RESUMING, check_losses, idle
from tr2m_plugin.hooks.true_depth import TrueDepth, clip_to_range, forward_inputs
from tr2m_plugin.losses.cells import CellClass
from tr2m_plugin.losses.scale_oriented_contrast import Reduction, ScaleOrientedContrastLoss
from tr2m_plugin.registry import HOOKS

PROJECTOR = "soc_projector"
CHECKPOINT_KEY = "soc_hook"
"""Where a hook of the default name keeps its part, in the model and in a checkpoint."""


@HOOKS.register_module()
class SOCHook(Hook):
    """Adds `loss_soc` to the losses that a model's forward returns in mode `loss`, given true depth.

    The feature of a named submodule is projected and contrasted with key maps by depth class. Keys come from a momentum
    branch: an exponential moving average of the encoder, which is whatever runs up to the feature, and of the
    projector. Each image meets its own key map and that of another image of the batch.

    The projector becomes a submodule of the model and its parameters a group of the optimizer. A checkpoint keeps
    projector, key branch and their optimizer state under a key of their own: to whoever loads it, with the hook or
    without, it is the model's own checkpoint, and training may resume either way.

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
        depth_range: (d_min, d_max) of eq. 7 for all images, in the unit of the depth maps. Default: each image's own,
            within the `depth_range` that its sample names, so that one far outlier does not make all else near.
        cell: class of a feature's cell: `median` of its pixels' classes, or `nearest`, the nearest pixel's. Default:
            median.
        momentum: share of the new weights in the moving average; 0.01 is the paper's coefficient of 0.99.
        keys: which key maps: `self`, `shuffled` or both. Default: both.
        gt: true depth, not finite or not above 0 where there is none, as `TrueDepth` takes it: a field of the data
            samples, (1, H, W) or (H, W) each; an argument of the model's forward, (B, 1, H, W) or (B, H, W), or a
            dotted path from one, `targets.depth`; or a function of the forward's arguments, also as the config of one
            that is registered in FUNCTIONS. Default: gt_depth_map.
        start: the epoch, counted from 0, from which on the loss counts; before it the loss is zero, and the key branch
            follows the model. Default: 0.
        by_epoch: whether `start` is an epoch or an iteration. Default: True.
        interval: the contrast is computed in every so-many-th iteration, and zero in the others. Default: 1.
        projector_optim: `lr_mult` and `decay_mult`, factors on the learning rate and the weight decay that the
            optimizer has for all parameters, for those of the projector. Default: 1 each.
        name: name of the loss, `loss_NAME`, the projector, `NAME_projector`, and the checkpoint's key, `NAME_hook`:
            each of several hooks has its own. Default: soc.

    Raises:
        InputError: the model has no such submodule; the feature's shape or channels are not as promised, it carries no
            gradient, or samples lack depth; the loss is not trained on; in the first iteration at the latest.
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
        cell: CellClass = "median",
        momentum: float = 0.01,
        keys: Sequence[str] = ("self", "shuffled"),
        gt: str | dict | Callable[..., Tensor] = "gt_depth_map",
        start: int = 0,
        by_epoch: bool = True,
        interval: int = 1,
        projector_optim: Mapping[str, float] | None = None,
        name: str = "soc",
    ) -> None:
        check_contrast(feature, branch, momentum, keys)
        if interval < 1:
            raise InputError(f"interval must be 1 or more iterations, not {interval}")
        if set(projector_optim or {}) - {"lr_mult", "decay_mult"}:
            raise InputError(f"projector_optim takes lr_mult and decay_mult, not {', '.join(projector_optim or {})}")
        if not name.isidentifier():
            raise InputError(f"SOCHook's name must be one word of letters, digits and _, not {name!r}")
        self.name, self.loss_name = name, f"loss_{name}"
        self.projector_name, self.checkpoint_key = f"{name}_projector", f"{name}_hook"
        self.loss = ScaleOrientedContrastLoss(num_classes, negative_reduction, depth_range, loss_weight, cell)
        self.feature, self.in_channels, self.branch = feature, in_channels, branch
        self.momentum, self.keys = momentum, tuple(keys)
        self._options: dict[str, Any] = {
            "index": index,
            "branch": branch,
            "projector": projector,
            "momentum": momentum,
            "keys": keys,
        }
        self._true_depth, self.projector_optim = TrueDepth(gt), dict(projector_optim or {})
        self.start, self.by_epoch, self.interval = start, by_epoch, interval
        self._model: nn.Module | None = None
        self._counts = self._trains = False

    def before_run(self, runner: Runner) -> None:
        """Makes the contrast, and adds its projector to model and optimizer and its loss to the model's."""
        wrapped = runner.model
        model = wrapped.module if is_model_wrapper(wrapped) else wrapped
        if not isinstance(runner.optim_wrapper, OptimWrapper) or self._model is model:
            return  # testing: there is nothing to add a loss to; or training again: it has been added
        if isinstance(runner.optim_wrapper, OptimWrapperDict):
            raise InputError("SOCHook needs a single optimizer to train its projector with, not several")
        if sum(isinstance(hook, SOCHook) and hook.name == self.name for hook in runner.hooks) > 1:
            raise InputError(f"two SOCHooks are named {self.name!r}: give each a name of its own, name='...'")
        self._model = model
        find_submodule(model, self.feature)
        self.contrast = ScaleOrientedContrast(
            model,
            self.feature,
            self.in_channels,
            loss=self.loss,
            dry_run=self._dry_run(runner, model),
            **self._options,
        )
        self.in_channels = self.contrast.in_channels
        self._add_projector(runner, wrapped, model, self.contrast.projector)
        hook = weakref.ref(self)
        add_loss(model, self.loss_name, lambda: getattr(hook(), "_contrast", None), self.contrast.captured)

    def _dry_run(self, runner: Runner, model: nn.Module) -> DryRun | None:
        """A dry run where something is to be learned from one."""
        if self.in_channels and self.branch:
            return None
        loader = runner.train_dataloader
        if isinstance(loader.dataset, IterableDataset):
            if self.in_channels:
                return None
            raise InputError("SOCHook cannot look at a picture of an iterable dataset: give in_channels")
        return dry_run(model, self.feature, loader.dataset, loader.collate_fn)

    def _add_projector(self, runner: Runner, wrapped: nn.Module, model: nn.Module, projector: nn.Module) -> None:
        model.add_module(self.projector_name, projector)
        self._group = ProjectorGroup(self.name, projector, **self.projector_optim)
        self._group.join(runner)
        # The hook saves and loads the projector: a model's checkpoint is the same with and without it.
        model._register_state_dict_hook(partial(_leave_out, self.projector_name))
        model.register_load_state_dict_post_hook(partial(_do_not_miss, self.projector_name))
        if is_model_wrapper(wrapped):
            # DDP synchronises the gradients of the parameters that it saw when it was made.
            runner.model = runner.wrap_model(runner.cfg.get("model_wrapper_cfg"), model)

    def before_train(self, runner: Runner) -> None:
        """Starts the key branch from the weights that training starts from."""
        self.contrast.begin()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Decides whether the loss counts."""
        started = (runner.epoch if self.by_epoch else runner.iter) >= self.start
        self._counts = started and runner.iter % self.interval == 0

    @torch.compiler.disable
    def _contrast(self, args: tuple, kwargs: dict[str, Any], losses: dict[str, Any]) -> Tensor:
        contrast = self.contrast
        loss = self._computed(args, kwargs, losses) if self._counts or not contrast.checked else contrast.zero()
        if not self._counts:
            contrast.clear()
        if not self._trains:
            loss.register_hook(self._reached)
        return loss

    def _computed(self, args: tuple, kwargs: dict[str, Any], losses: dict[str, Any]) -> Tensor:
        contrast = self.contrast
        if "feature" not in contrast.captured:
            raise InputError(f"the model's forward in mode 'loss' never runs {self.feature!r}")
        assert self._model is not None
        inputs = forward_inputs(self._model, args, kwargs)
        depth = clip_to_range(self._true_depth(inputs), inputs)
        if not contrast.checked:
            for message in check_losses(self.loss_name, losses):
                contrast.warn(message)
        if self._counts:
            return contrast(depth)
        contrast.check(depth)
        return contrast.zero()

    def _reached(self, gradient: Tensor) -> None:
        self._trains = True

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Moves the key branch once per optimizer step."""
        if not self._trains:
            returned = self.contrast.captured.get("returned")
            raise InputError(idle(self._model, self.loss_name, self.contrast.checked, returned))
        # Activation checkpointing repeats forwards during backward.
        self.contrast.clear()
        if runner.optim_wrapper.should_update():
            self.contrast.update()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Puts projector, key branch and the projector's optimizer state under a key of their own."""
        own = self.contrast.state_dict()
        if "optimizer" in checkpoint:
            own["optimizer"] = self._group.take_off(checkpoint)
        checkpoint[self.checkpoint_key] = own

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Restores the hook's part when training resumes; after `load_from` the key branch starts from the weights.

        A checkpoint of a training without the hook may be resumed too: projector and key branch start anew.

        Raises:
            InputError: the checkpoint's part is of another feature.
        """
        if not runner._resume or self._model is None:
            return
        own = checkpoint.get(self.checkpoint_key, {})
        if own:
            try:
                self.contrast.load_state_dict(own)
            except InputError as error:
                raise InputError(f"SOCHook cannot resume from this checkpoint: {error}; {RESUMING}") from error
        if "optimizer" in checkpoint:
            self._group.put_on(checkpoint, own.get("optimizer"))


def _leave_out(projector: str, model: nn.Module, state: dict, prefix: str, metadata: dict) -> None:
    for name in [name for name in state if name.startswith(f"{prefix}{projector}.")]:
        del state[name]


def _do_not_miss(projector: str, model: nn.Module, keys: Any) -> None:
    keys.missing_keys[:] = [name for name in keys.missing_keys if projector not in name.split(".")]
