import csv
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
import yaml
from safetensors.torch import load_file

from pipelines import train
from pipelines.params import Stage
from pipelines.train import best_checkpoint, collect_curves, fingerprint, is_loss
from tr2m_plugin.checkpoint import load_checkpoint
from tr2m_plugin.datasets.tables import INDEX, read_table, write_table
from tr2m_plugin.errors import InputError
from tr2m_plugin.inference.model_folder import load_spec

from tests.conftest import FEW_ITERATIONS  # isort: skip


@pytest.fixture
def copy(world, tmp_path):
    """Tables without the training that other tests share."""
    ignored = shutil.ignore_patterns("train", "model", "*.csv", "evaluation")
    return shutil.copytree(world, tmp_path / "copy", ignore=ignored)


def section(repository, **options):
    return {"config": str(repository / "configs" / "tr2m_mini.py"), "options": FEW_ITERATIONS, **options}


def test_training_leaves_a_model_and_curves(trained):
    losses, validation = (
        list(csv.DictReader((trained / f"{name}.csv").read_text().splitlines())) for name in ("losses", "validation")
    )
    assert set(losses[0]) == {"iteration", "loss", "loss_si", "loss_pseudo", "loss_smooth", "loss_soc"}
    assert [row["iteration"] for row in losses] == [str(i) for i in range(1, 7)]
    assert {"iteration", "abs_rel", "d1", "rooms/d1"} <= set(validation[0])
    assert [row["iteration"] for row in validation] == ["3", "6"]
    state = load_checkpoint(best_checkpoint(trained / "train"))["state_dict"]
    exported = load_file(trained / "model" / "model.safetensors")
    assert all(torch.equal(tensor, state[name]) for name, tensor in exported.items())


def test_repeated_it_goes_on_where_it_was_and_starts_again_with_other_settings(trained, repository, tmp_path):
    root = shutil.copytree(trained, tmp_path / "copy")
    before = (root / "train" / "iter_6.pth").stat().st_mtime_ns
    train.stage(Stage("test", section(repository), root))
    assert (root / "train" / "iter_6.pth").stat().st_mtime_ns == before
    other = {**FEW_ITERATIONS, "optim_wrapper.optimizer.lr": 1e-4}
    train.stage(Stage("test", section(repository, options=other), root))
    assert (root / "train" / "iter_6.pth").stat().st_mtime_ns != before


def test_the_fingerprint_follows_data_and_settings(copy, repository):
    run = Stage("test", section(repository), copy)
    first = fingerprint(run)
    assert first == fingerprint(run)
    assert first != fingerprint(Stage("test", section(repository, options={}), copy))
    rows = read_table(copy / "index.parquet", INDEX)
    write_table(copy / "index.parquet", INDEX, rows[1:])
    assert first != fingerprint(run)


def test_killed_in_training_it_resumes(copy, repository, tmp_path):
    options = {**FEW_ITERATIONS, "train_cfg.max_iters": 30, "param_scheduler.1.end": 30, "train_cfg.val_interval": 30}
    params = {"profiles": {"test": {"train": section(repository, options=options)}}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    (tmp_path / "work").mkdir()
    shutil.move(copy, tmp_path / "work" / "test")
    work = tmp_path / "work" / "test" / "train"
    command = [sys.executable, "-m", "pipelines.train", "--profile", "test"]
    options = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(repository)}}
    job = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, **options)
    deadline = time.monotonic() + 90
    while not (work / "last_checkpoint").is_file() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(job.pid, signal.SIGKILL)
    job.wait()
    assert (work / "last_checkpoint").is_file()
    assert not (work / "iter_30.pth").exists()
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "resumed epoch: 0, iter: " in done.stdout + done.stderr
    assert (work / "iter_30.pth").is_file()
    assert (tmp_path / "work" / "test" / "model" / "model.safetensors").is_file()
    steps = [row["iteration"] for row in collect_curves(work, is_loss)]
    assert steps == sorted(set(steps))


def test_weights_as_they_are_and_fine_tuning_without_validation(copy, repository, trained):
    weights = str(trained / "model")
    train.stage(Stage("test", section(repository, enabled=False, load_from=weights), copy))
    given = load_file(trained / "model" / "model.safetensors")
    taken = load_file(copy / "model" / "model.safetensors")
    assert all(torch.equal(given[name], taken[name]) for name in given)
    rows = [r for r in read_table(copy / "index.parquet", INDEX) if r["split"] != "val"]
    write_table(copy / "index.parquet", INDEX, rows)
    train.stage(Stage("test", section(repository, load_from=weights), copy))
    tuned = load_file(copy / "model" / "model.safetensors")
    difference = max(float((given[name] - tuned[name]).abs().max()) for name in given)
    assert 0 < difference < 0.1, "a few steps from the given weights, not a new start"
    assert load_spec(copy / "model").about["load_from"] == weights
    assert "load_from" not in load_spec(trained / "model").about
    train.stage(Stage("test", section(repository, load_from=weights), copy))
    again = load_file(copy / "model" / "model.safetensors")
    assert all(torch.equal(tuned[name], again[name]) for name in tuned), "repeated, it is done already"


def test_bad_settings_are_refused(copy, repository):
    with pytest.raises(InputError, match="`load_from` must name the weights"):
        train.stage(Stage("test", section(repository, enabled=False), copy))
    with pytest.raises(InputError, match=r"train.load_from: nowhere does not exist"):
        train.stage(Stage("test", section(repository, load_from="nowhere"), copy))
    with pytest.raises(InputError, match=r"no.py does not exist"):
        train.stage(Stage("test", {"config": "no.py"}, copy))
    rows = [r for r in read_table(copy / "index.parquet", INDEX) if r["split"] == "test"]
    write_table(copy / "index.parquet", INDEX, rows)
    with pytest.raises(InputError, match="lists no picture in the split 'train'"):
        train.stage(Stage("test", section(repository), copy))
