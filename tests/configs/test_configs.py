"""Every config of the repository builds and trains."""

import shutil
from inspect import signature

import pytest
import torch
import yaml

from tests.support.recipes import CONFIGS, few, tiny
from tr2m_plugin.models import RelativeDepth
from tr2m_plugin.tools.train import load_config, train

NAMES = sorted(path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("*.py") if "_base_" not in path.parts)


@pytest.fixture(scope="module")
def root(world, tmp_path_factory):
    """The small world, with relative depth of the networks of Table 9 too."""
    copy = shutil.copytree(world, tmp_path_factory.mktemp("configs") / "world")
    for name in ("midas", "dpt"):
        shutil.copytree(world / "relative_depth", copy / "relative_depth" / name)
    return copy


@pytest.mark.parametrize("name", NAMES)
def test_it_trains(name, root, tmp_path):
    config = few(tiny(name, root, tmp_path))
    runner = train(config)
    losses = {key for key in runner.message_hub.log_scalars if key.startswith("train/loss")}
    assert ("train/loss_soc" in losses) == bool(config.get("custom_hooks"))
    assert ("train/loss_pseudo" in losses) == (config.model.get("loss_pseudo") is not None)
    assert all(torch.isfinite(torch.tensor(runner.message_hub.get_scalar(key).current())) for key in losses)
    assert (tmp_path / "iter_2.pth").is_file()


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("ablations/")])
def test_ablations_are_short_and_start_from_either_config(name, root):
    assert len((CONFIGS / name).read_text().splitlines()) <= 10
    mini, mixed = (load_config(str(CONFIGS / name), None, str(root), base) for base in ("tr2m_mini", "tr2m_mixed"))
    assert mini.train_cfg.type == "mmengine.IterBasedTrainLoop"
    assert mixed.train_cfg.max_epochs == 20
    for config in (mini, mixed):
        assert config.train_dataloader.dataset.data_root == str(root)


def test_the_papers_numbers():
    config = load_config(str(CONFIGS / "tr2m_mixed.py"))
    model, (soc,) = config.model, config.custom_hooks
    weights = [model[name].loss_weight for name in ("loss_si", "loss_pseudo")]
    assert [*weights, soc.loss_weight, model.loss_smooth.loss_weight] == [1, 0.5, 0.1, 0.01]
    assert model.loss_si.lam == model.loss_pseudo.lam == 0.15
    assert (soc.num_classes, 1 - soc.momentum, soc.start) == (20, 0.99, 1)
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ("AdamW", 1e-5, 1e-2)
    warm_up, decay = config.param_scheduler
    assert (warm_up.end, warm_up.by_epoch, decay.gamma, decay.by_epoch) == (1000, False, 0.9, True)
    assert (config.train_cfg.max_epochs, config.train_dataloader.batch_size) == (20, 8)
    assert config.train_dataloader.batch_sampler.type == "RoundRobinBatchSampler"
    assert [config[p][0].text for p in ("train_pipeline", "test_pipeline")] == ["random", "first"]
    assert tuple(config.relative_depth["size"]) == (434, 560)


@pytest.mark.parametrize("name", ["newcrfs_swinl{}_50e_nyu", "newcrfs_swinmini{}_12e_rooms"])
def test_newcrfs_with_and_without_soc_differ_by_the_hook_alone(name):
    plain, soc = (load_config(str(CONFIGS / "newcrfs" / f"{name.format(mark)}.py")) for mark in ("", "_soc"))
    assert "custom_hooks" not in plain
    (hook,) = soc.pop("custom_hooks")
    assert hook.type == "tr2m_plugin.SOCHook"
    assert {**soc.to_dict(), "work_dir": ""} == {**plain.to_dict(), "work_dir": ""}


def test_newcrfs_recipe():
    config = load_config(str(CONFIGS / "newcrfs" / "newcrfs_swinl_50e_nyu.py"))
    assert (config.model.version, config.model.max_depth, config.model.loss.min_depth) == ("large07", 10, 0.1)
    assert config.optim_wrapper.optimizer == {"type": "Adam", "lr": 2e-5}
    (poly,) = config.param_scheduler
    assert (poly.type, poly.power, poly.eta_min, poly.end) == ("mmengine.PolyLR", 0.9, 2e-6, 50)
    assert (config.train_cfg.max_epochs, config.train_dataloader.batch_size) == (50, 8)
    loaders = [config[f"{which}_dataloader"].dataset for which in ("train", "val", "test")]
    assert [(data.split, data.datasets) for data in loaders] == [
        ("train", ["nyu"]),
        ("test", ["nyu"]),
        ("test", ["nyu", "ibims"]),
    ]


@pytest.mark.parametrize(("profile", "config"), [("mini", "tr2m_mini.py"), ("paper", "tr2m_mixed.py")])
def test_predictions_see_the_relative_depth_that_training_saw(repository, profile, config):
    """The stage makes maps by the profile's options, the trained model's folder keeps the config's."""
    params = yaml.safe_load((repository / "params.yaml").read_text())["profiles"][profile]
    given = {name: p.default for name, p in signature(RelativeDepth).parameters.items()}
    own = {name: value for name, value in load_config(str(CONFIGS / config)).relative_depth.items() if name != "type"}
    stage, model = (
        {name: list(value) if name == "size" else value for name, value in {**given, **options}.items()}
        for options in (params["relative_depth"]["model"], own)
    )
    assert stage == model
