"""The projector's parameters in optimizer, schedules and checkpoints of somebody's training."""

import pytest
import torch

from tests.support.somebodys_model import HOOK, SomebodysDepthModel, Watch, assert_equal, run, soc, weights
from tr2m_plugin.checkpoint import load_checkpoint
from tr2m_plugin.errors import InputError
from tr2m_plugin.hooks import SOCHook
from tr2m_plugin.hooks.projector_group import MARK

OPTIM = {
    "optimizer": {"type": "AdamW", "lr": 1e-2, "weight_decay": 0.1, "betas": (0.8, 0.9)},
    "paramwise_cfg": {"custom_keys": {"head": {"lr_mult": 10.0, "decay_mult": 0.0}}},
}
STEPS = [
    {"type": "LinearLR", "start_factor": 0.1, "by_epoch": False, "begin": 0, "end": 3},
    {"type": "MultiStepLR", "milestones": [2, 4], "gamma": 0.3, "by_epoch": False, "end": 6},
    {"type": "CosineAnnealingLR", "T_max": 4, "eta_min": 1e-4, "by_epoch": False, "begin": 2, "end": 6},
]
CYCLE = [{"type": "OneCycleLR", "eta_max": 0.02, "total_steps": 7, "by_epoch": False, "end": 7}]
PLATEAU = [{"type": "ReduceOnPlateauLR", "monitor": "loss"}, {"type": "PolyLR", "end": 4, "by_epoch": False}]


def groups(runner):
    """The group of the backbone's first weight and the projector's."""
    found = runner.optim_wrapper.optimizer.param_groups
    weight = runner.model.backbone[0].weight
    return next(g for g in found if g["params"][0] is weight), next(g for g in found if g.get(MARK) == "soc")


def options(group):
    return {name: value for name, value in group.items() if name not in ("params", MARK)}


def test_it_has_the_optimizers_own_options_and_not_the_last_groups(tmp_path):
    runner = run(tmp_path / "a", iterations=1, optim=OPTIM)
    backbone, own = groups(runner)
    assert options(own) == options(backbone)
    assert (own["lr"], own["weight_decay"], own["betas"]) == (1e-2, 0.1, (0.8, 0.9))
    assert {id(p) for p in own["params"]} == {id(p) for p in runner.model.soc_projector.parameters()}
    counted = [id(p) for group in runner.optim_wrapper.optimizer.param_groups for p in group["params"]]
    assert len(counted) == len(set(counted)) == len(list(runner.model.parameters()))
    hook = {**HOOK, "projector_optim": {"lr_mult": 2, "decay_mult": 0.5}}
    _, own = groups(run(tmp_path / "b", hook, iterations=1, optim=OPTIM))
    assert (own["lr"], own["weight_decay"]) == (2e-2, 0.05)
    with pytest.raises(InputError, match="lr_mult and decay_mult, not lr"):
        SOCHook("backbone", projector_optim={"lr": 1})


@pytest.mark.parametrize("optim", [OPTIM, {"optimizer": OPTIM["optimizer"]}], ids=["groups", "one group"])
@pytest.mark.parametrize("schedule", [STEPS, CYCLE, PLATEAU], ids=["steps", "cycle", "plateau"])
def test_it_follows_every_schedule_as_the_others_do(tmp_path, schedule, optim):
    """Also with MMEngine's own `base_param_settings` behind the groups."""
    rates = []

    def keep(runner, outputs):
        rates.append([group["lr"] for group in groups(runner)])

    run(tmp_path, iterations=6, optim=optim, param_scheduler=schedule, extra=[Watch(after_train_iter=keep)])
    assert len({first for first, _ in rates}) > 2
    assert [own for _, own in rates] == [first for first, _ in rates]


@pytest.mark.parametrize("schedule", [STEPS, CYCLE], ids=["steps", "cycle"])
def test_its_factor_holds_along_the_schedule(tmp_path, schedule):
    rates = []

    def keep(runner, outputs):
        head = next(
            g for g in runner.optim_wrapper.optimizer.param_groups if g["params"][0] is runner.model.head[0].bias
        )
        rates.append((head["lr"], groups(runner)[1]["lr"]))

    hook = {**HOOK, "projector_optim": {"lr_mult": 10, "decay_mult": 0}}
    run(tmp_path, hook, optim=OPTIM, param_scheduler=schedule, extra=[Watch(after_train_iter=keep)])
    scale = 10 if schedule is CYCLE else 1  # a cycle's rates are the same for all groups, whatever theirs were
    assert [own for _, own in rates] == pytest.approx([scale * head for head, _ in rates], rel=1e-12)


def test_mmengines_scaling_to_the_batch_holds_for_it(tmp_path):
    scale = {"enable": True, "base_batch_size": 8}
    backbone, own = groups(run(tmp_path, iterations=1, optim=OPTIM, auto_scale_lr=scale))
    assert own["lr"] == backbone["lr"] == 5e-3


def test_a_scheduled_training_resumes_exactly_and_without_it_too(tmp_path):
    hook = {**HOOK, "projector_optim": {"lr_mult": 3}}
    common = {"optim": OPTIM, "param_scheduler": STEPS}
    whole = run(tmp_path / "whole", hook, **common)
    run(tmp_path / "parts", hook, iterations=2, **common)
    parts = run(tmp_path / "parts", hook, resume=True, **common)
    assert_equal(weights(parts), weights(whole))
    assert options(groups(parts)[1]) == options(groups(whole)[1])

    never = run(tmp_path / "never", None, **common)
    saved = [load_checkpoint(tmp_path / name / "iter_4.pth") for name in ("whole", "never")]
    assert saved[0]["param_schedulers"] == saved[1]["param_schedulers"]
    assert saved[0]["optimizer"]["param_groups"] == saved[1]["optimizer"]["param_groups"]

    off = {**hook, "loss_weight": 0.0}
    run(tmp_path / "removed", off, iterations=2, **common)
    removed = run(tmp_path / "removed", None, resume=True, **common)
    assert_equal(weights(removed), weights(never))


def test_it_joins_a_schedule_that_is_under_way(tmp_path):
    common = {"optim": OPTIM, "param_scheduler": STEPS}
    run(tmp_path, None, iterations=2, **common)
    rates = []
    watch = Watch(after_train_iter=lambda runner, outputs: rates.append([g["lr"] for g in groups(runner)]))
    run(tmp_path, resume=True, extra=[watch], **common)
    assert len(rates) == 2
    for first, own in rates:
        assert own == pytest.approx(first, rel=1e-12)


def test_checkpoints_in_which_it_was_in_the_last_group_resume_with_its_options(tmp_path):
    """As training would have gone on: at the head's rate, which the projector had."""
    hook = {**HOOK, "projector_optim": {"lr_mult": 10, "decay_mult": 0}}
    common = {"optim": OPTIM, "param_scheduler": STEPS}
    whole = run(tmp_path / "whole", hook, **common)
    run(tmp_path / "parts", hook, iterations=2, **common)
    path = tmp_path / "parts" / "iter_2.pth"
    content = load_checkpoint(path)
    own = content["soc_hook"]
    assert content["optimizer"]["param_groups"][-1]["lr"] == own["optimizer"]["group"]["lr"]
    content["soc_hook"] = {"projector": own["projector"], "key": own["key"], "optimizer": own["optimizer"]["states"]}
    torch.save(content, path)
    parts = run(tmp_path / "parts", resume=True, **common)  # the config's factors are those of a new group
    assert_equal(weights(parts), weights(whole))
    assert groups(parts)[1]["lr"] == parts.optim_wrapper.optimizer.param_groups[-2]["lr"]


def test_nothing_but_its_options_differs_from_being_in_the_last_group(tmp_path):
    """One rate for all: a group of its own trains to the bit as a place in the last group does."""
    optim = {"optimizer": OPTIM["optimizer"], "clip_grad": {"max_norm": 0.5}}

    def merge(runner):
        own = runner.optim_wrapper.optimizer.param_groups.pop()
        runner.optim_wrapper.optimizer.param_groups[-1]["params"].extend(own["params"])

    apart = run(tmp_path / "a", optim=optim, param_scheduler=STEPS)
    together = run(
        tmp_path / "b",
        optim=optim,
        param_scheduler=STEPS,
        extra=[Watch(before_train=merge)],
        default_hooks={"checkpoint": None, "logger": None},
    )
    assert len(apart.optim_wrapper.optimizer.param_groups) == 2
    assert len(together.optim_wrapper.optimizer.param_groups) == 1
    assert_equal(weights(apart), weights(together))
    assert soc(together)._group.owner == "soc"
    assert isinstance(together.model, SomebodysDepthModel)
