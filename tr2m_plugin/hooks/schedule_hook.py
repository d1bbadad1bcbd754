"""Resuming with another schedule than the one that training began with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from tr2m_plugin.registry import HOOKS

PROGRESS = ("optimizer", "last_step", "_global_step", "_last_value", "base_values")
"""What a scheduler keeps beside its settings."""


def settings(scheduler: Mapping[str, Any]) -> dict[str, Any]:
    """The settings among a scheduler's attributes."""
    return {name: value for name, value in scheduler.items() if name not in PROGRESS}


@HOOKS.register_module()
class ScheduleHook(Hook):
    """Makes the config's schedule count when training resumes.

    MMEngine restores schedulers with the settings they were saved with, their end among them, so that a longer training
    would go on at the last learning rate. Where the config's settings differ from the checkpoint's, the schedule is
    replayed from its start to the iteration that was reached: it continues as though it had been the config's all
    along. Where they agree nothing is touched, and resuming is exact.
    """

    def __init__(self) -> None:
        self._start: tuple[list[dict], list[dict]] | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compares the stored schedulers with the config's, which stand at their start."""
        stored, own = checkpoint.get("param_schedulers"), runner.param_schedulers
        if not runner._resume or not isinstance(stored, list) or not isinstance(own, list):
            return
        if [settings(state) for state in stored] != [settings(vars(scheduler)) for scheduler in own]:
            names = {scheduler.param_name for scheduler in own}
            groups = [{name: group[name] for name in names} for group in runner.optim_wrapper.param_groups]
            self._start = [scheduler.state_dict() for scheduler in own], groups

    def before_train(self, runner: Runner) -> None:
        """Replays a schedule that has changed."""
        if self._start is None:
            return
        states, groups = self._start
        for scheduler, state in zip(runner.param_schedulers, states, strict=True):
            scheduler.load_state_dict(state)
        for group, values in zip(runner.optim_wrapper.param_groups, groups, strict=True):
            group.update(values)
        runner.optim_wrapper._global_step = 0  # or every scheduler warns that no optimizer step came before its own
        loop = runner.train_loop
        epoch_length = len(loop.dataloader) if isinstance(loop, EpochBasedTrainLoop) else None
        for done in range(1, runner.iter + 1):
            for scheduler in runner.param_schedulers:
                if not scheduler.by_epoch or (epoch_length and done % epoch_length == 0):
                    scheduler.step()
        rate = runner.optim_wrapper.param_groups[0]["lr"]
        runner.logger.info(f"the schedule differs from the checkpoint's; it goes on at a learning rate of {rate:g}")
