import os
from pathlib import Path

import pytest

from tests.support.recipes import mini
from tr2m_plugin.errors import InputError
from tr2m_plugin.tools import test as test_tool
from tr2m_plugin.tools import train as train_tool
from tr2m_plugin.tools.train import DATA_ROOT, load_config, repository_file

OPTIONS = [
    "train_cfg.max_iters=4",
    "train_cfg.val_interval=2",
    "param_scheduler.0.end=2",
    "param_scheduler.1.begin=2",
    "param_scheduler.1.end=4",
    "train_dataloader.batch_size=4",
    "default_hooks.checkpoint.interval=2",
]


def test_training_resuming_and_testing_from_the_command_line(world, repository, tmp_path, capsys):
    config = str(repository / "configs" / "tr2m_mini.py")
    shared = [config, "--work-dir", str(tmp_path), "--data-root", str(world)]
    assert train_tool.main([*shared, "--cfg-options", *OPTIONS]) == 0
    (best,) = tmp_path.glob("best_abs_rel_iter_*.pth")
    assert (tmp_path / "iter_4.pth").is_file()
    assert train_tool.main([*shared, "--resume", "--cfg-options", *OPTIONS]) == 0
    assert "resumed epoch: 0, iter: 4" in capsys.readouterr().out + "".join(
        path.read_text() for path in tmp_path.rglob("*.log")
    )
    assert test_tool.main([config, str(best), "--work-dir", str(tmp_path / "t"), "--data-root", str(world)]) == 0
    assert "hallway/abs_rel" in "".join(path.read_text() for path in (tmp_path / "t").rglob("*.json"))


def test_errors_are_one_line_and_status_2(repository, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv(DATA_ROOT, raising=False)
    assert train_tool.main(["nothing.py"]) == 2
    assert "nothing.py does not exist" in capsys.readouterr().err
    config = str(repository / "configs" / "tr2m_mini.py")
    assert train_tool.main([config, "--data-root", str(tmp_path), "--work-dir", str(tmp_path / "w")]) == 2
    assert "index.parquet does not exist: run the stage" in capsys.readouterr().err
    bad = tmp_path / "bad.pth"
    bad.write_text("?")
    assert test_tool.main([config, str(bad), "--work-dir", str(tmp_path / "w")]) == 2


def test_a_packaged_copy_leads_to_the_repositorys_config(tmp_path):
    copy = tmp_path / "package" / ".mim" / "configs" / "a.py"
    copy.parent.mkdir(parents=True)
    copy.write_text("")
    assert repository_file(str(copy)) == str(copy)
    original = tmp_path / "configs" / "a.py"
    original.parent.mkdir()
    original.write_text("")
    assert repository_file(str(copy)) == str(original)


def test_where_the_tables_are(tmp_path, repository, monkeypatch):
    monkeypatch.delenv(DATA_ROOT, raising=False)
    monkeypatch.chdir(tmp_path)
    mini = str(repository / "configs" / "tr2m_mini.py")
    assert load_config(mini).data_root == "work/mini" or (repository / "work" / "mini").is_dir()
    (tmp_path / "work" / "mini").mkdir(parents=True)
    assert load_config(mini).data_root == "work/mini"
    assert load_config(mini, data_root="elsewhere").train_dataloader.dataset.data_root == "elsewhere"
    assert DATA_ROOT not in os.environ, "the environment is left as it was"
    monkeypatch.setenv(DATA_ROOT, "there")
    assert load_config(mini).data_root == "there"
    assert load_config(mini, data_root="elsewhere").data_root == "elsewhere"
    assert os.environ[DATA_ROOT] == "there"


def test_configs_inherit_and_take_options(repository):
    config = load_config(str(repository / "configs" / "tr2m_mini_finetune.py"), {"optim_wrapper.optimizer.lr": 1e-5})
    assert config.optim_wrapper.optimizer.lr == 1e-5
    assert config.train_cfg.max_iters == config.param_scheduler[-1]["end"]
    assert config.model.rescale_net.image_channels == 128
    assert config.work_dir == str(Path("work_dirs") / "tr2m_mini_finetune")
    with pytest.raises(InputError, match="does not exist"):
        load_config("no.py")


def test_help_offers_no_gpus_option():
    """mim passes `--gpus` to a script whose help mentions it, and would then train on a processor."""
    assert "--gpu" not in train_tool.parser("").format_help()


def test_another_batch_than_the_recipes_is_told(world, tmp_path):
    def log(name, **options):
        config = mini(world, tmp_path / name, 1, auto_scale_lr={"base_batch_size": 8, "enable": False}, **options)
        train_tool.train(config)
        (file,) = (tmp_path / name).rglob("*.log")
        return file.read_text()

    told = "2 pictures a step (1 process × 2), where the config's learning rate is for 8"
    assert told in log("two")
    assert "pictures a step" not in log("eight", **{"train_dataloader.batch_size": 8})
    accumulated = log("accumulated", **{"optim_wrapper.accumulative_counts": 2})
    assert "4 pictures a step (1 process × 2 × 2 accumulated)" in accumulated
    assert "pictures a step" not in log("scaled", **{"auto_scale_lr.enable": True})
