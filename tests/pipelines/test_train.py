import ast
import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

import tr2m_plugin
from pipelines import train
from pipelines.params import Stage, code_digest
from pipelines.train import (
    best_checkpoint,
    collect_curves,
    fingerprint,
    is_loss,
    prepare,
    set_aside,
    training_code,
)
from tr2m_plugin.checkpoint import load_checkpoint
from tr2m_plugin.datasets.parquet import read_rows, write_rows
from tr2m_plugin.errors import InputError
from tr2m_plugin.inference.model_folder import load_spec
from tr2m_plugin.rows import IndexRow
from tr2m_plugin.tools.train import load_config
from tr2m_plugin.training import alone_in

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


def test_repeated_it_goes_on_where_it_was_and_starts_again_with_other_settings(trained, repository, tmp_path, capsys):
    root = shutil.copytree(trained, tmp_path / "copy")
    before = (root / "train" / "iter_6.pth").stat().st_mtime_ns
    train.stage(Stage("test", section(repository), root))
    assert (root / "train" / "iter_6.pth").stat().st_mtime_ns == before
    other = {**FEW_ITERATIONS, "optim_wrapper.optimizer.lr": 1e-4}
    train.stage(Stage("test", section(repository, options=other), root))
    assert (root / "train" / "iter_6.pth").stat().st_mtime_ns != before
    old = root / "train.old-1" / "iter_6.pth"
    assert old.stat().st_mtime_ns == before, "the earlier training is kept"
    assert f"training starts anew, the earlier one is now {old.parent}" in capsys.readouterr().out
    assert set_aside(root / "train").name == "train.old-2"


def mark(run):
    return fingerprint(run, load_config(run.params["config"], run.params.get("options"), str(run.root)))


def test_the_fingerprint_follows_data_and_settings(copy, repository, tmp_path):
    run = Stage("test", section(repository), copy)
    first = mark(run)
    assert first == mark(run)
    moved = Path(shutil.copytree(copy, tmp_path / "moved"))
    assert first == mark(Stage("test", section(repository), moved)), "where the tables are does not matter"
    logged = {**FEW_ITERATIONS, "default_hooks.logger.interval": 7, "log_level": "WARNING"}
    assert first == mark(Stage("test", section(repository, options=logged), copy)), "nor how training is logged"
    assert first != mark(Stage("test", section(repository, options={}), copy))
    rows = read_rows(copy / "index.parquet", IndexRow)
    shard = copy / next(row.depth for row in rows if row.split == "train").partition("#")[0]
    content = shard.read_bytes()
    shard.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert first != mark(run), "depth that is another in a file of the same size is trained on anew"
    shard.write_bytes(content)
    write_rows(copy / "index.parquet", IndexRow, rows[1:])
    assert first != mark(run)


def test_of_the_code_only_what_it_does_counts(tmp_path):
    module = tmp_path / "a.py"
    module.write_text('"""Says."""\n\ndef f(x):\n    """Adds."""\n    return x + 1\n')
    first = code_digest(module)
    module.write_text('"""Says more."""\n# A comment.\ndef f( x ):\n    return (x +\n            1)  # here\n')
    assert code_digest(module) == first
    module.write_text("def f(x):\n    return x + 2\n")
    assert code_digest(module) != first


def test_the_code_of_training_is_what_it_imports():
    """What models, losses, hooks and datasets import of the package is hashed too, or changes no weight."""
    package = Path(tr2m_plugin.__file__).parent
    hashed = {path.relative_to(package).with_suffix("").as_posix().replace("/", ".") for path in training_code()}
    harmless = {"checkpoint", "checks", "device", "errors", "files", "folders", "registry", "resuming"}
    harmless |= {"rows", "trusted", "units", "warn", "weights", "workers"}
    for path in training_code():
        for node in ast.walk(ast.parse(path.read_text())):
            module = node.module if isinstance(node, ast.ImportFrom) else None
            if module and module.startswith("tr2m_plugin."):
                name = module.removeprefix("tr2m_plugin.")
                assert {name, f"{name}.__init__"} & (hashed | harmless), f"{path} imports {module}"


@pytest.mark.parametrize(
    ("part", "table"), [("text_encoder", "text_features.parquet"), ("relative_depth", "errors.parquet")]
)
def test_features_of_another_network_are_refused(copy, repository, part, table):
    options = {**FEW_ITERATIONS, f"{part}.pretrained": "mini_dpt"}
    with pytest.raises(InputError, match=rf"{table} was made with mini_\w+, but the config's {part} is mini_dpt"):
        train.stage(Stage("test", section(repository, options=options), copy))


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
    earlier = copy / "train" / "20260101_000000" / "vis_data"
    earlier.mkdir(parents=True)
    (earlier / "scalars.json").write_text('{"loss": 1.0, "step": 1}')
    train.stage(Stage("test", section(repository, enabled=False, load_from=weights), copy))
    assert (copy / "losses.csv").read_text().split() == ["iteration"], "not the curves of another training"
    given = load_file(trained / "model" / "model.safetensors")
    taken = load_file(copy / "model" / "model.safetensors")
    assert all(torch.equal(given[name], taken[name]) for name in given)
    rows = [r for r in read_rows(copy / "index.parquet", IndexRow) if r.split != "val"]
    write_rows(copy / "index.parquet", IndexRow, rows)
    train.stage(Stage("test", section(repository, load_from=weights), copy))
    tuned = load_file(copy / "model" / "model.safetensors")
    difference = max(float((given[name] - tuned[name]).abs().max()) for name in given)
    assert 0 < difference < 0.1, "a few steps from the given weights, not a new start"
    assert load_spec(copy / "model").about["load_from"] == weights
    assert "load_from" not in load_spec(trained / "model").about
    train.stage(Stage("test", section(repository, load_from=weights), copy))
    again = load_file(copy / "model" / "model.safetensors")
    assert all(torch.equal(tuned[name], again[name]) for name in tuned), "repeated, it is done already"


def test_a_best_checkpoint_that_cannot_be_read_is_skipped(tmp_path):
    hub = {"meta": {"epoch": 0, "iter": 10}, "message_hub": {}, "optimizer": {}}
    for name in ("best_abs_rel_iter_9.pth", "iter_10.pth"):
        torch.save(hub, tmp_path / name)
    (tmp_path / "best_abs_rel_iter_10.pth").write_bytes(b"PK cut")
    assert best_checkpoint(tmp_path).name == "best_abs_rel_iter_9.pth"
    (tmp_path / "best_abs_rel_iter_9.pth").write_bytes(b"")
    assert best_checkpoint(tmp_path).name == "iter_10.pth"
    (tmp_path / "iter_10.pth").write_bytes(b"")
    with pytest.raises(InputError, match="holds no checkpoint that can be read"):
        best_checkpoint(tmp_path)


def test_bad_settings_are_refused(copy, repository):
    with pytest.raises(InputError, match="`load_from` must name the weights"):
        train.stage(Stage("test", section(repository, enabled=False), copy))
    with pytest.raises(InputError, match=r"train.load_from: nowhere does not exist"):
        train.stage(Stage("test", section(repository, load_from="nowhere"), copy))
    with pytest.raises(InputError, match=r"no.py does not exist"):
        train.stage(Stage("test", {"config": "no.py"}, copy))
    rows = [r for r in read_rows(copy / "index.parquet", IndexRow) if r.split == "test"]
    write_rows(copy / "index.parquet", IndexRow, rows)
    with pytest.raises(InputError, match="lists no picture in the split 'train'"):
        train.stage(Stage("test", section(repository), copy))


def test_a_line_that_a_kill_cut_off_is_passed_over(tmp_path):
    log = tmp_path / "20260101_000000" / "vis_data" / "scalars.json"
    log.parent.mkdir(parents=True)
    log.write_text('{"loss": 2.0, "step": 1}\n{"loss": 1.0, "st')
    assert collect_curves(tmp_path, is_loss) == [{"iteration": 1, "loss": 2.0}]


def test_the_folder_of_a_training_without_checkpoints_is_not_removed_under_it(tmp_path, monkeypatch):
    monkeypatch.setattr("tr2m_plugin.training.PATIENCE", 0.01)
    (tmp_path / "log").write_text("")
    with alone_in(str(tmp_path)), pytest.raises(InputError, match="another training is writing to"):
        prepare(tmp_path, "another")
    assert (tmp_path / "log").is_file()


def test_the_best_by_any_metric_and_what_is_published_beside_it(tmp_path):
    hub = {"meta": {"epoch": 0, "iter": 10}, "message_hub": {}, "optimizer": {}}
    for name in ("best_rooms_d1_iter_4", "best_abs_rel_iter_6", "best_abs_rel_iter_6-0123abcd", "epoch_9"):
        torch.save(hub, tmp_path / f"{name}.pth")
    found = {metric: best_checkpoint(tmp_path, metric).stem for metric in ("rooms/d1", "abs_rel", "auto", None)}
    assert found == {
        "rooms/d1": "best_rooms_d1_iter_4",
        "abs_rel": "best_abs_rel_iter_6",
        "auto": "best_abs_rel_iter_6",
        None: "epoch_9",
    }
