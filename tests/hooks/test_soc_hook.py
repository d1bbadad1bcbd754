"""Scale-oriented contrast on a depth model that knows nothing of it."""

import copy

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.structures import PixelData
from torch import nn
from torch.utils.data import Dataset

from tr2m_plugin.checkpoint import load_checkpoint, register_safe_loader
from tr2m_plugin.errors import InputError
from tr2m_plugin.hooks.soc_hook import CHECKPOINT_KEY, PROJECTOR, as_map, find_submodule
from tr2m_plugin.losses import ScaleOrientedContrastLoss
from tr2m_plugin.structures import DepthDataSample


class Pictures(Dataset):
    def __len__(self):
        return 12

    def __getitem__(self, i):
        generator = torch.Generator().manual_seed(i)
        image = torch.rand(3, 16, 20, generator=generator)
        sample = DepthDataSample(metainfo={"sample_id": str(i)})
        sample.gt_depth_map = PixelData(data=image.mean(0, keepdim=True) * 4 + 0.5)
        return {"inputs": image, "data_samples": sample}


class SomebodysDepthModel(BaseModel):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.head = nn.Conv2d(6, 1, 1)

    def forward(self, inputs, data_samples=None, mode="tensor"):
        inputs = torch.stack(list(inputs)) if isinstance(inputs, (list, tuple)) else inputs
        depth = self.head(self.backbone(inputs))
        if mode != "loss":
            return depth
        truth = torch.stack([s.gt_depth_map.data for s in data_samples])
        return {"loss_depth": (depth - nn.functional.interpolate(truth, depth.shape[-2:])).abs().mean()}


HOOK = {
    "type": "tr2m_plugin.SOCHook",
    "feature": "backbone",
    "branch": "backbone",
    "in_channels": 6,
    "projector": {"hidden_channels": 8, "out_channels": 8, "pool": 1},
}


def run(work_dir, hook=HOOK, iterations=4, resume=False, model=None, optim=None, extra=(), wrapper=None):
    register_safe_loader()
    runner = Runner(
        model=model or SomebodysDepthModel(),
        work_dir=str(work_dir),
        train_dataloader={
            "batch_size": 4,
            "num_workers": 0,
            "dataset": Pictures(),
            "sampler": {"type": "InfiniteSampler", "shuffle": False},
            "collate_fn": {"type": "pseudo_collate"},
        },
        train_cfg={"type": "IterBasedTrainLoop", "max_iters": iterations},
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.1}, **(optim or {})},
        default_hooks={"checkpoint": {"type": "CheckpointHook", "interval": 2, "by_epoch": False}, "logger": None},
        custom_hooks=[*([hook] if hook else []), *extra],
        randomness={"seed": 0},
        cfg={"model_wrapper_cfg": wrapper} if wrapper else None,
        launcher="pytorch" if wrapper else "none",
        resume=resume,
        log_level="ERROR",
        experiment_name=f"{work_dir.name}{iterations}{resume}",
    )
    runner.train()
    return runner


def soc(runner):
    return next(h for h in runner.hooks if type(h).__name__ == "SOCHook")


def test_it_trains_model_and_projector_and_logs_its_loss(tmp_path):
    start = SomebodysDepthModel()
    runner = run(tmp_path, model=copy.deepcopy(start))
    names = dict(runner.model.named_parameters())
    assert any(name.startswith(PROJECTOR) for name in names)
    optimized = {id(p) for group in runner.optim_wrapper.param_groups for p in group["params"]}
    assert all(id(p) in optimized for p in names.values())
    assert "train/loss_soc" in runner.message_hub.log_scalars
    assert not torch.equal(names["backbone.0.weight"], start.backbone[0].weight)


def test_the_loss_is_the_one_of_the_functions(tmp_path):
    """At the first iteration the key branch is a copy, so the loss can be computed by hand."""
    model = SomebodysDepthModel()
    items = [Pictures()[i] for i in range(4)]
    images = torch.stack([i["inputs"] for i in items])
    depth = torch.stack([i["data_samples"].gt_depth_map.data for i in items])
    runner = run(tmp_path, model=copy.deepcopy(model), iterations=1, optim={"optimizer": {"type": "SGD", "lr": 0.0}})
    logged = runner.message_hub.get_scalar("train/loss_soc").current()

    projector = copy.deepcopy(getattr(runner.model, PROJECTOR))
    key = projector(copy.deepcopy(model).eval().backbone(images))
    query = projector(model.train().backbone(images))
    expected = ScaleOrientedContrastLoss()(query, [key, key.roll(1, 0)], depth, [depth, depth.roll(1, 0)])
    assert logged == pytest.approx(expected.item(), rel=1e-5)


def test_the_key_branch_is_the_moving_average(tmp_path):
    history = []

    class Keep(Hook):
        priority = "VERY_LOW"

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            key = soc(runner)._key.module["branch"][0].weight
            history.append((runner.model.backbone[0].weight.detach().clone(), key.clone()))

    run(tmp_path, {**HOOK, "momentum": 0.25}, extra=[Keep()])
    start = SomebodysDepthModel().backbone[0].weight
    expected = start.detach()
    for i, (online, key) in enumerate(history):
        expected = 0.75 * expected + 0.25 * online
        torch.testing.assert_close(key, expected, msg=f"iteration {i}")


@pytest.mark.parametrize(("start", "by_epoch", "on"), [(2, False, 2), (0, True, 4), (1, True, 0)])
def test_it_starts_when_asked(tmp_path, start, by_epoch, on):
    """An iteration-based training stays in epoch 0."""
    losses = []

    class Keep(Hook):
        priority = "VERY_LOW"

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            losses.append(outputs["loss_soc"].item())

    runner = run(tmp_path, {**HOOK, "start": start, "by_epoch": by_epoch}, extra=[Keep()])
    assert [loss > 0 for loss in losses] == [False] * (4 - on) + [True] * on
    assert int(soc(runner)._key.steps) == 1 + 4, "the key branch follows the model from the beginning"
    assert not soc(runner)._captured


def test_keys_get_no_gradient_and_accumulation_updates_them_once(tmp_path):
    runner = run(tmp_path, optim={"accumulative_counts": 2})
    key = soc(runner)._key
    assert not any(p.requires_grad for p in key.parameters())
    assert int(key.steps) == 1 + 2  # the copy at the start, then two optimizer steps in four iterations


def test_resuming_is_exact(tmp_path):
    whole = run(tmp_path / "whole")
    run(tmp_path / "parts", iterations=2)
    parts = run(tmp_path / "parts", resume=True)
    for a, b in ((whole.model, parts.model), (soc(whole)._key, soc(parts)._key)):
        for name, value in a.state_dict().items():
            torch.testing.assert_close(b.state_dict()[name], value, rtol=0, atol=0, msg=name)


def test_the_checkpoint_loads_without_the_hook(tmp_path):
    run(tmp_path)
    content = load_checkpoint(tmp_path / "iter_4.pth")
    assert CHECKPOINT_KEY in content
    missing, unexpected = SomebodysDepthModel().load_state_dict(content["state_dict"], strict=False)
    assert not missing
    assert unexpected
    assert all(name.startswith(PROJECTOR) for name in unexpected)


def test_the_whole_model_can_be_the_branch_and_ema_hook_beside_it(tmp_path):
    hook = {k: v for k, v in HOOK.items() if k != "branch"}
    runner = run(tmp_path, hook, extra=[{"type": "EMAHook"}])
    assert "train/loss_soc" in runner.message_hub.log_scalars


def test_leaving_training_mode_costs_nothing(tmp_path):
    runner = run(tmp_path)
    runner.model.eval()
    out = runner.model(torch.rand(2, 3, 16, 20))
    assert out.shape == (2, 1, 8, 10)
    assert not soc(runner)._captured


def test_errors_name_the_submodule_and_its_neighbours(tmp_path):
    with pytest.raises(InputError, match=r"no submodule 'backbon'.*backbone"):
        find_submodule(SomebodysDepthModel(), "backbon")
    with pytest.raises(InputError, match="not inside branch"):
        run(tmp_path, {**HOOK, "feature": "head"})
    with pytest.raises(InputError, match="keys must be"):
        run(tmp_path, {**HOOK, "keys": ["other"]})


def test_tokens_become_maps():
    tokens = torch.arange(2 * 6 * 3.0).view(2, 6, 3)
    assert torch.equal(as_map(tokens, 20, 30)[:, :, 0, 1], tokens[:, 1])
    assert as_map(tokens, 20, 30).shape == (2, 3, 2, 3)
    with_class = torch.cat([torch.zeros(2, 1, 3), tokens], 1)
    assert torch.equal(as_map(with_class, 20, 30), as_map(tokens, 20, 30))
    with pytest.raises(InputError, match="the hooked feature must be"):
        as_map([tokens], 20, 30)
