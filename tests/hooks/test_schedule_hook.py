import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

from tr2m_plugin.checkpoint import register_safe_loader


class Numbers(Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, i):
        return torch.tensor([float(i)])


class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, *inputs, mode="tensor", **_):
        return {"loss": self.layer(inputs[0]).square().mean()}


class Rates(Hook):
    def __init__(self):
        self.seen = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.seen.append(runner.optim_wrapper.param_groups[0]["lr"])


def rates(work_dir, epochs, schedule, resume=False, hook=True):
    """Learning rate at every iteration of a training with two iterations per epoch."""
    register_safe_loader()
    keep = Rates()
    Runner(
        model=Line(),
        work_dir=str(work_dir),
        train_dataloader={
            "batch_size": 3,
            "num_workers": 0,
            "dataset": Numbers(),
            "sampler": {"type": "DefaultSampler", "shuffle": False},
        },
        train_cfg={"type": "EpochBasedTrainLoop", "max_epochs": epochs},
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.1}},
        param_scheduler=schedule,
        default_hooks={"logger": None},
        custom_hooks=[keep, *([{"type": "tr2m_plugin.ScheduleHook"}] if hook else [])],
        randomness={"seed": 0},
        resume=resume,
        log_level="ERROR",
        experiment_name=f"{work_dir.name}{epochs}{resume}{hook}",
    ).train()
    return keep.seen


def linear(end):
    return [{"type": "LinearLR", "start_factor": 0.1, "by_epoch": False, "begin": 0, "end": end}]


def cosine(epochs):
    return [*linear(3), {"type": "CosineAnnealingLR", "T_max": epochs, "end": epochs, "eta_min": 1e-4}]


def exponential(epochs):
    """MMEngine sets the end that is not given to the last epoch."""
    return [*linear(4), {"type": "ExponentialLR", "gamma": 0.9}]


@pytest.mark.parametrize("schedule", [lambda epochs: linear(2 * epochs), cosine, exponential])
def test_a_longer_schedule_goes_on_as_if_it_had_been_there_from_the_start(tmp_path, schedule):
    whole = rates(tmp_path / "whole", 6, schedule(6))
    rates(tmp_path / "parts", 3, schedule(3))
    resumed = rates(tmp_path / "parts", 6, schedule(6), resume=True)
    assert resumed == pytest.approx(whole[6:], rel=1e-6)
    assert len(set(resumed)) > 1


def test_without_it_the_rate_freezes(tmp_path):
    rates(tmp_path / "parts", 3, linear(6))
    assert len(set(rates(tmp_path / "parts", 6, linear(12), resume=True, hook=False))) == 1


@pytest.mark.parametrize("hook", [True, False])
def test_an_unchanged_schedule_is_restored_to_the_bit(tmp_path, hook):
    schedule = [*linear(4), {"type": "ExponentialLR", "gamma": 0.9, "end": 100}]
    whole = rates(tmp_path / "whole", 6, schedule)
    rates(tmp_path / "parts", 3, schedule)
    assert rates(tmp_path / "parts", 6, schedule, resume=True, hook=hook) == whole[6:]
