"""Kills, copies and crafted checkpoints: nothing saved is lost and nothing else is removed."""

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from mmengine.logging import HistoryBuffer

from tests.support.recipes import mini, tiny
from tests.support.toy_training import ITERATIONS, killed_at, toy
from tr2m_plugin.checkpoint import load_checkpoint
from tr2m_plugin.errors import InputError
from tr2m_plugin.hooks import SafeCheckpointHook
from tr2m_plugin.hooks.checkpoint_hook import OUTDATED
from tr2m_plugin.tools.train import train

# Seconds, names, and MMEngine's note of where this sitting began.
UNLIKE = ("runtime_info/iter", "time", "experiment_name", "cfg", "mmengine_version")
KILLS = int(os.environ.get("TR2M_KILLS", "0"))


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """MMEngine asks compilers for their versions at every start."""
    monkeypatch.setattr("mmengine.runner.runner.collect_env", dict)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The work folder of a training that nobody killed."""
    folder = tmp_path_factory.mktemp("whole")
    train(toy(folder))
    return folder


def checkpoints(folder):
    return sorted(path.name for path in folder.rglob("*.pth"))


def flat(value, name=""):
    """The leaves of a checkpoint by their path, without what is measured in seconds or names the folder."""
    if isinstance(value, dict):
        return {path: leaf for key, item in value.items() for path, leaf in flat(item, f"{name}/{key}").items()}
    if isinstance(value, (list, tuple)):
        return flat(dict(enumerate(value)), name)
    if isinstance(value, HistoryBuffer):
        value = [array.tolist() for array in value.data]
    if name.endswith(UNLIKE):
        return {}
    return {name: value.tolist() if isinstance(value, torch.Tensor) else value}


def assert_as_without_a_kill(folder, whole):
    assert checkpoints(folder) == checkpoints(whole)
    assert not list(folder.glob(".partial*"))
    for name in checkpoints(whole):
        expected, found = flat(load_checkpoint(whole / name)), flat(load_checkpoint(folder / name))
        assert expected.keys() == found.keys(), name
        differing = {
            key: (value, found[key])
            for key, value in expected.items()
            if found[key] != value and str(found[key]).replace(str(folder), str(whole)) != str(value)
        }
        assert not differing, name


def test_one_regular_and_the_best_checkpoint_stay(whole):
    assert checkpoints(whole) == ["best_abs_rel_iter_4.pth", "iter_6.pth"]
    assert (whole / "last_checkpoint").read_text() == str(whole / "iter_6.pth")
    hub = load_checkpoint(whole / "iter_6.pth")["message_hub"]["runtime_info"]
    assert hub["best_ckpt"] == str(whole / "best_abs_rel_iter_4.pth")
    assert hub["last_validation"] == 6


# All of them with TR2M_KILLS=20; otherwise one before, in and after each kind of write of the second of three savings.
@pytest.mark.parametrize("moment", range(1, 70) if KILLS else [18, 20, 21, 23, 25, 27, 29, 33, 35])
def test_killed_at_any_write_it_goes_on_to_the_bit(whole, tmp_path, moment):
    if not killed_at(moment, toy(tmp_path)):
        assert moment > 50, "every moment before the end kills"
    train(toy(tmp_path), resume=True)
    assert_as_without_a_kill(tmp_path, whole)


@pytest.fixture
def training(request):
    """A function from a work folder to the config of a training with a checkpoint and a validation every so often."""
    if request.param == "toy":
        return lambda folder: toy(folder, 8 * KILLS)
    world = request.getfixturevalue("world")

    def config(folder):
        small = mini(world, folder, KILLS)
        validation = tiny("tr2m_mini.py", world, folder)
        small.update({name: validation[name] for name in ("val_dataloader", "val_cfg", "val_evaluator")})
        small.train_cfg.val_interval = 2
        small.default_hooks.checkpoint.update(interval=1, save_best="abs_rel", rule="less")
        return small

    return config


@pytest.mark.skipif(not KILLS, reason="set TR2M_KILLS to a number of kills, such as 20")
@pytest.mark.parametrize("training", ["toy", "tr2m"], indirect=True)
def test_killed_by_signal_9_at_random_moments_it_goes_on_to_the_bit(training, tmp_path):
    """Each kill comes within one and a half savings after a file appears; all of them in one training."""
    torch.set_num_threads(1)  # sums of several threads differ in their last bits from those of one
    chance, work = random.Random(0), tmp_path / "killed"
    start = time.monotonic()
    train(training(tmp_path / "whole"))
    config = training(work)
    saving = (time.monotonic() - start) * config.default_hooks.checkpoint.interval / config.train_cfg.max_iters
    reached = []
    for _ in range(KILLS):
        before = set(work.glob("*.pth"))
        process = os.fork()
        if process == 0:
            torch.set_num_threads(1)
            train(training(work), resume=True)
            os._exit(0)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not set(work.glob("*.pth")) - before:
            time.sleep(0.001)
        time.sleep(chance.random() * 1.5 * saving)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        reached.append(max([int(path.stem[5:]) for path in work.glob("iter_*.pth")], default=0))
    print("iterations reached:", *reached)
    train(training(work), resume=True)
    assert_as_without_a_kill(work, tmp_path / "whole")


def test_a_copied_folder_leaves_the_original_alone(tmp_path, whole):
    train(toy(tmp_path / "original", 2))
    copy = Path(shutil.copytree(tmp_path / "original", tmp_path / "copy"))
    before = {path: path.read_bytes() for path in (tmp_path / "original").rglob("*.pth")}
    train(toy(copy), resume=True)
    assert {path: path.read_bytes() for path in (tmp_path / "original").rglob("*.pth")} == before
    assert_as_without_a_kill(copy, whole)


def crafted(file, **info):
    content = load_checkpoint(file)
    content["message_hub"]["runtime_info"] |= info
    content["message_hub"]["resumed_keys"] |= dict.fromkeys(info, True)
    torch.save(content, file)


@pytest.mark.parametrize("where", ["elsewhere", "own"])
def test_a_crafted_checkpoint_removes_nothing_but_checkpoints_of_its_folder(tmp_path, where):
    work, other = tmp_path / "work", tmp_path / ("other" if where == "elsewhere" else "work")
    train(toy(work, 2))
    precious = [other / "photographs" / "1.jpg", other / "notes.txt", other / "iter_0.pth" / "file", other / "my.pth"]
    for path in precious:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("precious")
    names = [str(other / "photographs"), str(other / "notes.txt"), str(other / "my.pth"), "../notes.txt", 5, None]
    for best in (str(other / "photographs"), str(other / "iter_0.pth"), [1], {"a": 1}):
        crafted(
            work / "iter_2.pth",
            best_ckpt=best,
            best_score=1e9,
            last_ckpt=str(other / "photographs"),
            keep_ckpt_ids=["../other/photographs", "0/../../other", 0, 2],
            **{OUTDATED: names},
        )
        train(toy(work, 4), resume=True)
        assert all(path.read_text() == "precious" for path in precious), best
        shutil.copy(work / "iter_4.pth", work / "iter_2.pth")
        (work / "iter_4.pth").unlink()
        content = load_checkpoint(work / "iter_2.pth")
        content["meta"]["iter"] = 2
        torch.save(content, work / "iter_2.pth")


def test_a_config_inside_a_checkpoint_does_not_run(tmp_path):
    """MMEngine, resuming, runs a `config` of a checkpoint's meta as Python."""
    train(toy(tmp_path / "work", 2))
    content = load_checkpoint(tmp_path / "work" / "iter_2.pth")
    content["meta"]["config"] = f"open({str(tmp_path / 'it_ran')!r}, 'w')"
    torch.save(content, tmp_path / "work" / "iter_2.pth")
    train(toy(tmp_path / "work", 4), resume=True)
    assert (tmp_path / "work" / "iter_4.pth").is_file()
    assert not (tmp_path / "it_ran").exists()


def test_a_lost_best_is_chosen_anew_and_said(tmp_path, caplog):
    train(toy(tmp_path, 4))
    (tmp_path / "best_abs_rel_iter_4.pth").write_bytes(b"PK cut")
    train(toy(tmp_path), resume=True)
    assert "best_abs_rel_iter_4.pth" in log(tmp_path)
    assert "the best is chosen among those that follow" in log(tmp_path)
    # The validation of iteration 4 is made up for, and it is still the best.
    assert load_checkpoint(tmp_path / "best_abs_rel_iter_4.pth")["meta"]["iter"] == 4


def log(folder):
    return "".join(path.read_text() for path in folder.rglob("*.log"))


def test_epochs_and_published_checkpoints(tmp_path):
    config = toy(
        tmp_path, hook={"by_epoch": True, "interval": 1, "max_keep_ckpts": 2, "published_keys": ["state_dict"]}
    )
    config.train_cfg = {"type": "mmengine.EpochBasedTrainLoop", "max_epochs": 3}
    config.train_dataloader.sampler.type = "mmengine.DefaultSampler"
    train(config)
    best = [name for name in checkpoints(tmp_path) if name.startswith("best_")]
    assert {"epoch_2.pth", "epoch_3.pth"} < set(checkpoints(tmp_path))
    assert "epoch_1.pth" not in checkpoints(tmp_path)
    assert len(best) == 2, "the best and its published form"
    published = next(name for name in best if "-" in name)
    assert set(load_checkpoint(tmp_path / published)) == {"state_dict"}


def test_bad_options_are_refused():
    with pytest.raises(InputError, match="must be a file name with one"):
        SafeCheckpointHook(filename_tmpl="../{}.pth")
    with pytest.raises(InputError, match="local folders only"):
        SafeCheckpointHook(out_dir="s3://bucket/folder")


def test_iterations_of_the_toy():
    assert ITERATIONS == 6, "the numbers of the tests above are those of six iterations"
