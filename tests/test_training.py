"""One training per work folder, resuming that says what is wrong, disks that fill up, Ctrl-C."""

import errno
import os
import shutil
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from mmengine.config import Config
from mmengine.fileio import LocalBackend

from tests.support.toy_training import Line, toy
from tr2m_plugin import training as runner_module
from tr2m_plugin.checkpoint import load_checkpoint
from tr2m_plugin.errors import InputError
from tr2m_plugin.resuming import newest_checkpoint
from tr2m_plugin.tools import test as test_tool
from tr2m_plugin.tools import train as train_tool
from tr2m_plugin.tools.train import report, train


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("mmengine.runner.runner.collect_env", dict)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A training at its fourth iteration, of which two checkpoints stayed."""
    folder = tmp_path_factory.mktemp("work")
    train(toy(folder, 4, {"max_keep_ckpts": 2}))
    return folder


@pytest.fixture
def copy(work, tmp_path):
    return Path(shutil.copytree(work, tmp_path / "moved"))


def resumed(folder):
    runner = train(toy(folder, 4, {"max_keep_ckpts": 2}), resume=True)
    return Path(runner._load_from).name if runner._resume else None


def test_it_goes_on_from_the_newest_checkpoint_that_can_be_read(copy):
    (copy / "last_checkpoint").write_text("")
    assert resumed(copy) == "iter_4.pth"
    (copy / "last_checkpoint").write_text("/gone/iter_9.pth")
    (copy / "iter_4.pth").write_bytes((copy / "iter_4.pth").read_bytes()[:1000])
    torch.save({"w": torch.ones(1)}, copy / "iter_100.pth")
    (copy / "iter_x.pth").write_text("?")
    assert resumed(copy) == "iter_2.pth"
    text = "".join(path.read_text() for path in copy.rglob("*.log"))
    assert "iter_4.pth is not a readable checkpoint" in text
    assert "iter_100.pth holds weights and no training" in text


def test_names_of_ones_own_are_found_by_the_pointer(copy):
    (copy / "iter_4.pth").rename(copy / "step_4.pth")
    (copy / "iter_2.pth").unlink()
    (copy / "last_checkpoint").write_text("/where/it/was/step_4.pth")
    assert newest_checkpoint(copy) == str(copy / "step_4.pth")
    (copy / "step_4.pth").unlink()
    assert newest_checkpoint(copy) is None
    assert newest_checkpoint(copy / "nowhere") is None


def other(what):
    config = toy("", 4)
    if what == "width":
        config.model.width = 3
    if what == "optimizer":
        config.optim_wrapper.optimizer = {"type": "SGD", "lr": 0.1}
    if what == "groups":
        config.optim_wrapper.paramwise_cfg = {"custom_keys": {"bias": {"lr_mult": 2}}}
    return config


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("width", r"iter_4.pth is of another model: line.weight is \(1, 1\) in it and \(3, 1\) in this config"),
        ("optimizer", r"iter_4.pth is of another optimizer, which has .*betas"),
        ("groups", r"iter_4.pth cannot be resumed with this config \(ValueError: loaded state dict has a different"),
    ],
)
def test_another_model_or_optimizer_is_one_line(copy, what, message):
    config = other(what)
    config.work_dir = str(copy)
    before = (copy / "iter_4.pth").read_bytes()
    with pytest.raises(InputError, match=message) as caught:
        train(config, resume=True)
    assert "\n" not in str(caught.value)
    assert (copy / "iter_4.pth").read_bytes() == before


def weights_only(file, content):
    torch.save(content["state_dict"], file)


def as_safetensors(file, content):
    from safetensors.torch import save_file

    save_file(content["state_dict"], file)


def without_numbers(file, content):
    torch.save({**content, "meta": {"epoch": "0", "iter": -1}}, file)


def folder(file, content):
    file.mkdir()


@pytest.mark.parametrize(
    ("make", "name", "message"),
    [
        (as_safetensors, "model.safetensors", "holds weights and no training"),
        (weights_only, "state.pth", "holds weights and no training"),
        (without_numbers, "odd.pth", "holds weights and no training"),
        (folder, "model", "is a folder, not a checkpoint"),
        (lambda file, content: file.write_bytes(b"PK"), "cut.pth", "is not a readable checkpoint"),
        (lambda file, content: None, "none.pth", "does not exist"),
        (lambda file, content: torch.save({**content, "state_dict": None}, file), "null.pth", "cannot be resumed"),
    ],
)
def test_resuming_from_what_is_no_training_is_one_line(work, tmp_path, make, name, message):
    make(tmp_path / name, load_checkpoint(work / "iter_4.pth"))
    with pytest.raises(InputError, match=message) as caught:
        train(toy(tmp_path / "work", 4), resume=str(tmp_path / name))
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_best_checkpoint_is_not_resumed_from(work, tmp_path):
    best = next(work.glob("best_*.pth"))
    with pytest.raises(InputError, match="holds no state of the optimizer, as best checkpoints do not"):
        train(toy(tmp_path, 4), resume=str(best))


def test_another_feature_of_the_contrast_is_one_line(tmp_path):
    from tests.support.somebodys_model import HOOK, run

    state = load_checkpoint(run(tmp_path / "a", iterations=2).work_dir + "/iter_2.pth")
    state["soc_hook"]["projector"] = {"of.another": torch.ones(3)}
    torch.save(state, tmp_path / "a" / "iter_2.pth")
    from tests.support.somebodys_model import Pictures, SomebodysDepthModel

    runner = runner_module.TrainingRunner(
        model=SomebodysDepthModel(),
        work_dir=str(tmp_path / "b"),
        train_dataloader={
            "batch_size": 4,
            "num_workers": 0,
            "dataset": Pictures(),
            "sampler": {"type": "InfiniteSampler", "shuffle": False},
            "collate_fn": {"type": "pseudo_collate"},
        },
        train_cfg={"type": "IterBasedTrainLoop", "max_iters": 4},
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.1}},
        custom_hooks=[HOOK],
        experiment_name="another_feature",
        log_level="ERROR",
    )
    runner.go_on(str(tmp_path / "a" / "iter_2.pth"))
    with pytest.raises(InputError, match="another feature, branch or projector"):
        runner.train()


def test_only_one_training_writes_to_a_folder(copy, monkeypatch):
    monkeypatch.setattr(runner_module, "PATIENCE", 0.1)
    before = {path: path.read_bytes() for path in copy.glob("*.pth")}
    with FileLock(copy / ".lock"), pytest.raises(InputError, match=rf"another training is writing to {copy}"):
        train(toy(copy), resume=True)
    assert {path: path.read_bytes() for path in copy.glob("*.pth")} == before
    train(toy(copy), resume=True)
    assert (copy / "iter_6.pth").is_file()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_line_that_names_the_last_good_checkpoint(tmp_path, monkeypatch, code):
    put = LocalBackend.put

    def full(self, content, path):
        if len(list(tmp_path.glob("iter_2.pth"))):
            Path(path).write_bytes(content[:100])
            raise OSError(code, os.strerror(code))
        put(self, content, path)

    with monkeypatch.context() as context:
        context.setattr(LocalBackend, "put", full)
        with pytest.raises(InputError, match=r"the last good checkpoint is .*iter_2.pth: make room and resume"):
            train(toy(tmp_path))
    assert not list(tmp_path.glob(".partial*")), "what was half written is gone"
    train(toy(tmp_path), resume=True)
    assert (tmp_path / "iter_6.pth").is_file()


def test_ctrl_c_is_status_130_and_one_line(tmp_path, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Line, "forward", interrupted)
    toy(tmp_path).dump(tmp_path / "toy.py")
    assert train_tool.main([str(tmp_path / "toy.py")]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "train: interrupted; --resume goes on"
    assert report("test", lambda: None) == 0


def test_numbers_with_an_exponent_are_numbers(tmp_path):
    Config({"optim_wrapper": {"optimizer": {"lr": 1}}}).dump(tmp_path / "a.py")
    options = {"optim_wrapper.optimizer.lr": "1e-4", "a": ["1E5", "-.5e+2", ("2.e1",)], "b": "0001", "c": "1e-4m"}
    config = train_tool.load_config(str(tmp_path / "a.py"), options)
    assert config.optim_wrapper.optimizer.lr == 1e-4
    assert (config.a, config.b, config.c) == ([1e5, -50.0, (20.0,)], "0001", "1e-4m")


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"line.weight": torch.ones(3, 1), "line.bias": torch.ones(3)}, r"line.weight is \(3, 1\) in it"),
        ({"other": torch.ones(1)}, "it has none of this config's weights, such as line.weight"),
        ({"line.weight": torch.ones(1, 1)}, "it lacks 1 of this config's 2 weights, such as line.bias"),
    ],
)
def test_weights_of_another_model_are_neither_tested_nor_trained_on(tmp_path, state, message):
    """MMEngine warns, and measures or trains the weights that the model was made with."""
    torch.save({"state_dict": state}, tmp_path / "other.pth")
    parts = {"test_cfg": {"type": "mmengine.TestLoop"}, "test_evaluator": {"type": "ToyDistance"}}
    config = toy(tmp_path / "work", 2)
    config.update({**parts, "test_dataloader": config.val_dataloader})
    with pytest.raises(InputError, match=message):
        test_tool.evaluate(config, str(tmp_path / "other.pth"))
    if "lacks" not in message:  # a new head may be trained
        with pytest.raises(InputError, match=message):
            train(toy(tmp_path / "new", 2, load_from=str(tmp_path / "other.pth")))
