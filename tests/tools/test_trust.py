"""Training that can be trusted: resuming, several processes, accumulation, precision, what a checkpoint holds."""

import shutil

import pytest
import torch

from tests.support.recipes import SGD, few, mini, mixed, tiny, together, without_validation
from tr2m_plugin.checkpoint import load_checkpoint
from tr2m_plugin.errors import InputError
from tr2m_plugin.hooks.soc_hook import CHECKPOINT_KEY
from tr2m_plugin.optim import AutocastOptimWrapper
from tr2m_plugin.tools.train import train


def equal(first, second, **tolerance):
    for name, value in first.items():
        difference = (second[name].double() - value.double()).abs().max().item()
        torch.testing.assert_close(
            second[name], value, **(tolerance or {"rtol": 0, "atol": 0}), msg=f"{name} differs by {difference:g}"
        )


@pytest.mark.parametrize("workers", [0, 2])
def test_epochs_resume_to_the_bit(world, tmp_path, workers):
    options = {"train_dataloader.num_workers": workers}
    train(mixed(world, tmp_path / "whole", 2, **options))
    train(mixed(world, tmp_path / "parts", 1, **options))
    train(mixed(world, tmp_path / "parts", 2, **options), resume=True)
    whole, parts = (load_checkpoint(tmp_path / name / "epoch_2.pth") for name in ("whole", "parts"))
    equal(whole["state_dict"], parts["state_dict"])
    for part in ("projector", "key"):
        equal(whole[CHECKPOINT_KEY][part], parts[CHECKPOINT_KEY][part])
    assert whole["meta"]["iter"] == 24, "12 batches an epoch: rooms, colons and miniatures in turn, 8 pictures by 2"


def test_iterations_resume_to_the_bit(world, tmp_path):
    train(mini(world, tmp_path / "whole", 6))
    train(mini(world, tmp_path / "parts", 3))
    train(mini(world, tmp_path / "parts", 6), resume=True)
    whole, parts = (load_checkpoint(tmp_path / name / "iter_6.pth") for name in ("whole", "parts"))
    equal(whole["state_dict"], parts["state_dict"])
    for part in ("projector", "key"):
        equal(whole[CHECKPOINT_KEY][part], parts[CHECKPOINT_KEY][part])


def test_trainings_within_a_second_keep_apart(world, tmp_path, monkeypatch):
    monkeypatch.setattr("time.strftime", lambda *_: "20260101_000000")
    for name in ("first", "second"):
        train(mini(world, tmp_path / name, 1))
        assert list((tmp_path / name).glob("*/vis_data/config.py")), name
        shutil.rmtree(tmp_path / name)


def test_accumulation_equals_the_double_batch(world, tmp_path):
    """Without the shuffled key, whose neighbours are others in a larger batch."""
    same = {**SGD, "custom_hooks.0.keys": ["self"], "train_dataloader.sampler.shuffle": False}
    same |= {"train_dataloader.dataset.pipeline.0.text": "first", "param_scheduler": []}
    one = few(tiny("tr2m_mini.py", world, tmp_path / "one", **same), 1)
    two = few(tiny("tr2m_mini.py", world, tmp_path / "two", **same), 2)
    one.train_dataloader.batch_size = 4
    two.optim_wrapper.accumulative_counts = 2
    for config in (one, two):
        without_validation(config)
    train(one)
    train(two)
    states = [load_checkpoint(tmp_path / name)["state_dict"] for name in ("one/iter_1.pth", "two/iter_2.pth")]
    equal(*states, rtol=1e-4, atol=1e-6)


JOB = """
import sys
import torch
sys.path.insert(0, {repository!r})
from tests.support.recipes import together
from tr2m_plugin.tools.train import train
import torch.distributed as dist

config = together({world!r}, {out!r}, 2)
config.launcher = "pytorch"
runner = train(config)
torch.save(runner.model.module.state_dict(), {out!r} + "/rank" + str(dist.get_rank()) + ".pt")
"""


def test_two_processes_stay_equal_and_match_one_with_the_double_batch(world, repository, tmp_path, two_processes):
    out = tmp_path / "two"
    out.mkdir()
    two_processes(JOB.format(repository=str(repository), world=str(world), out=str(out)))
    first, second = (torch.load(out / f"rank{rank}.pt", weights_only=True) for rank in range(2))
    equal(first, second)
    still = together(world, tmp_path / "still", 4)
    still.optim_wrapper.optimizer.lr = 0
    start, whole = (train(c).model.state_dict() for c in (still, together(world, tmp_path / "one", 4)))
    equal(whole, first, rtol=1e-3, atol=1e-5)
    name = "rescale_net.fusion.self_attention.out_proj.weight"
    assert (whole[name] - start[name]).abs().max() > 1e-3


def test_bfloat16_on_a_processor(world, tmp_path):
    options = {"train_dataloader.dataset.pipeline.0.text": "first"}
    losses = {}
    for kind in ("mmengine.OptimWrapper", "AutocastOptimWrapper"):
        config = mini(world, tmp_path / kind, 2, **options, **{"optim_wrapper.type": kind})
        runner = train(config)
        assert isinstance(runner.optim_wrapper, AutocastOptimWrapper) is (kind == "AutocastOptimWrapper")
        assert all(p.dtype == torch.float32 for p in runner.model.parameters())
        losses[kind] = runner.message_hub.get_scalar("train/loss").current()
    assert losses["AutocastOptimWrapper"] == pytest.approx(losses["mmengine.OptimWrapper"], rel=0.02)
    assert losses["AutocastOptimWrapper"] != losses["mmengine.OptimWrapper"]
    with pytest.raises(InputError, match=r"mmengine.AmpOptimWrapper"):
        AutocastOptimWrapper("float16", optimizer=torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1))


def test_a_checkpoint_holds_what_is_trained_and_names_what_is_frozen(world, tmp_path):
    train(mini(world, tmp_path, 2))
    content = load_checkpoint(tmp_path / "iter_2.pth")
    assert {name.partition(".")[0] for name in content["state_dict"]} == {"rescale_net"}
    soc = content[CHECKPOINT_KEY]
    assert any("fusion" in name or "self_attention" in name for name in soc["key"])
    trained = sum(value.nbytes for part in (content["state_dict"], soc["projector"]) for value in part.values())
    key = sum(value.nbytes for value in soc["key"].values())
    # Weights, two moments of AdamW each, the key branch, and the logs.
    assert (tmp_path / "iter_2.pth").stat().st_size < 3 * trained + key + 200_000
    assert "pretrained='mini_depth_anything'" in content["meta"]["cfg"]


def test_the_frozen_encoder_runs_once_per_step_and_the_others_never(world, tmp_path, monkeypatch):
    from tr2m_plugin.models import CLIPTextEncoder, DINOv2Encoder, RelativeDepth

    calls = {"image": 0, "other": 0}
    forward = DINOv2Encoder.forward

    def counted(self, image):
        calls["image"] += 1
        return forward(self, image)

    def refused(self, *args, **kwargs):
        calls["other"] += 1

    monkeypatch.setattr(DINOv2Encoder, "forward", counted)
    monkeypatch.setattr(CLIPTextEncoder, "forward", refused)
    monkeypatch.setattr(RelativeDepth, "forward", refused)
    train(mini(world, tmp_path, 3))
    assert calls == {"image": 3, "other": 0}
