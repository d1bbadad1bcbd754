"""A parameter group of its own for parameters that join a training which MMEngine has already set up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.optim import OptimWrapper, _ParamScheduler
from mmengine.runner import Runner
from torch import nn

from tr2m_plugin.errors import InputError

MARK = "soc_hook"
"""Entry of a parameter group that names the hook it belongs to."""
PER_GROUP = ("base_values", "_last_value", "min_values")
"""What MMEngine's schedulers keep for every parameter group."""


class ProjectorGroup:
    """Puts a projector into optimizer and schedules, and takes it out of checkpoints and back.

    The group has the optimizer's own options, those that it was given for all parameters, and follows every schedule
    from its first step on.

    Args:
        owner: name of the hook.
        projector: whose parameters they are.
        lr_mult: factor on the learning rate. Default: 1.
        decay_mult: factor on the weight decay. Default: 1.
    """

    def __init__(self, owner: str, projector: nn.Module, lr_mult: float = 1.0, decay_mult: float = 1.0) -> None:
        self.owner, self.parameters = owner, list(projector.parameters())
        self.lr_mult, self.decay_mult = lr_mult, decay_mult

    def join(self, runner: Runner) -> None:
        """Adds the group to the runner's optimizer, and to the schedules, which stand at their first step."""
        wrapper = runner.optim_wrapper
        defaults = wrapper.optimizer.defaults
        group = {"params": self.parameters, MARK: self.owner}
        if defaults.get("lr") is not None:
            group["lr"] = defaults["lr"] * _scaling(runner) * self.lr_mult
        if defaults.get("weight_decay") is not None:
            group["weight_decay"] = defaults["weight_decay"] * self.decay_mult
        wrapper.optimizer.add_param_group(group)
        for scheduler in _schedulers(runner):
            self._follow(scheduler, group, wrapper)
        self._options = {name: value for name, value in group.items() if name != "params"}

    def _follow(self, scheduler: _ParamScheduler, group: dict[str, Any], wrapper: OptimWrapper) -> None:
        """What a scheduler did with the other groups when it was made."""
        name = scheduler.param_name
        others, at = wrapper.param_groups[0], len(wrapper.optimizer.param_groups) - 1
        if f"max_{name}" in others:  # a cycle has a beginning, a middle and an end for all groups, whatever theirs was
            factor = self.lr_mult if name == "lr" else 1.0
            group.update({f"{part}_{name}": others[f"{part}_{name}"] * factor for part in ("initial", "max", "min")})
        group.setdefault(f"initial_{name}", group[name])
        if hasattr(scheduler, "base_values"):
            scheduler.base_values.insert(at, group[f"initial_{name}"])
        if hasattr(scheduler, "min_values"):
            scheduler.min_values.insert(at, scheduler.min_values[0])
        if hasattr(scheduler, "base_values") and scheduler.begin <= 0 < scheduler.end:
            group[name] = scheduler._get_value()[at]
        scheduler._last_value.insert(at, group[name])

    def take_off(self, checkpoint: dict[str, Any]) -> dict[str, Any]:
        """Takes the group off a checkpoint, so that it is that of a training without it; returns what was taken."""
        optimizer = checkpoint["optimizer"]
        groups = optimizer["param_groups"]
        at = next(place for place, group in enumerate(groups) if group.get(MARK) == self.owner)
        group = groups.pop(at)
        states = [optimizer["state"].pop(number, None) for number in group.pop("params")]
        schedules = []
        for state in _states(checkpoint):
            held = [name for name in PER_GROUP if name in state]
            schedules.append({name: state[name][at] for name in held})
            # Not in place: the lists are the schedulers' own.
            state.update({name: [*state[name][:at], *state[name][at + 1 :]] for name in held})
        return {"group": group, "schedules": schedules, "states": states}

    def put_on(self, checkpoint: dict[str, Any], taken: Mapping[str, Any] | Sequence[Any] | None) -> None:
        """The inverse of `take_off`.

        Args:
            checkpoint: that training resumes from.
            taken: what `take_off` returned; or the states alone, as kept by checkpoints in which the projector was part
                of the last group, whose options it goes on with; or None, where the group starts anew.
        """
        optimizer = checkpoint["optimizer"]
        groups = optimizer["param_groups"]
        at = len(groups)
        if taken is None:
            taken = self._anew(checkpoint)
        elif not isinstance(taken, Mapping):
            last = {name: value for name, value in groups[-1].items() if name != "params"}
            schedules = [{n: s[n][at - 1] for n in PER_GROUP if n in s} for s in _states(checkpoint)]
            taken = {"group": last, "schedules": schedules, "states": taken}
        states = taken["states"]
        if len(states) != len(self.parameters):
            raise InputError(f"the checkpoint's projector has {len(states)} parameters, not {len(self.parameters)}")
        first = 1 + max((number for group in groups for number in group["params"]), default=-1)
        numbers = list(range(first, first + len(states)))
        groups.append({**taken["group"], MARK: self.owner, "params": numbers})
        optimizer["state"].update({n: state for n, state in zip(numbers, states, strict=True) if state is not None})
        for state, own in zip(_states(checkpoint), taken["schedules"], strict=False):
            state.update({name: [*state[name][:at], value, *state[name][at:]] for name, value in own.items()})

    def _anew(self, checkpoint: dict[str, Any]) -> dict[str, Any]:
        """The group without a past, as far into its schedules as the first group is."""
        options, schedules = dict(self._options), []
        reference = checkpoint["optimizer"]["param_groups"][0]
        for state in _states(checkpoint):
            name = state["param_name"]
            start = options.setdefault(f"initial_{name}", options[name])
            if reference.get(f"initial_{name}"):
                options[name] = start * reference[name] / reference[f"initial_{name}"]
            own = {"base_values": start, "_last_value": options[name], "min_values": state.get("min_values", [0])[0]}
            schedules.append({key: value for key, value in own.items() if key in state})
        return {"group": options, "schedules": schedules, "states": [None] * len(self.parameters)}


def _schedulers(runner: Runner) -> list[_ParamScheduler]:
    return runner.param_schedulers if isinstance(runner.param_schedulers, list) else []


def _states(checkpoint: Mapping[str, Any]) -> list[dict[str, Any]]:
    states = checkpoint.get("param_schedulers")
    return states if isinstance(states, list) else []


def _scaling(runner: Runner) -> float:
    """The factor by which MMEngine's `auto_scale_lr` has changed the learning rates."""
    scale = runner.auto_scale_lr
    if not scale or not scale.get("enable", False):
        return 1.0
    return float(runner.world_size * runner.train_dataloader.batch_size) / float(scale["base_batch_size"])
