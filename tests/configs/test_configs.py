"""Every config of the repository builds and trains."""

import shutil
from inspect import signature

import pytest
import torch
import yaml

from tests.support.recipes import CONFIGS, few, tiny, without_validation
from tr2m_plugin.evaluation import load_protocol
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


def test_depth_anything_on_one_dataset_and_on_the_mixture():
    """Table 3: of DA Single an own model for indoor, outdoor and surgical scenes, of DA Mix one for all."""
    trained_on = {
        "da_mix": ["nyu", "kitti", "void", "c3vd"],
        "da_single_nyu": ["nyu"],
        "da_single_kitti": ["kitti"],
        "da_single_c3vd": ["c3vd"],
    }
    configs = {name: load_config(str(CONFIGS / "depth_anything" / f"{name}.py")) for name in trained_on}
    for name, datasets in trained_on.items():
        loaders = [configs[name][f"{which}_dataloader"].dataset for which in ("train", "val", "test")]
        assert [data.datasets for data in loaders[:2]] == [datasets, datasets]
        assert (loaders[0].relative_depth, loaders[0].text, loaders[2].split) == (None, False, "test")
        model = configs[name].model
        assert (model.pretrained, model.output) == ("LiheYoung/depth-anything-large-hf", "disparity")
        for dataset in loaders[2].datasets:
            farthest = load_protocol("release", dataset).depth_range[1]
            assert farthest <= model.max_depth or dataset == "hypersim", "whose farthest is that of streets"
    tested = [set(configs[f"da_single_{name}"].test_dataloader.dataset.datasets) for name in ("nyu", "kitti", "c3vd")]
    assert set().union(*tested) | {"void"} == set(configs["da_mix"].test_dataloader.dataset.datasets)
    assert sum(map(len, tested)) == len(set().union(*tested))


def test_depth_anythings_recipe(root, tmp_path):
    """Its authors' (metric_depth): the encoder learns a fiftieth as fast, at a rate that falls in the last 30 %."""
    config = tiny("depth_anything/da_mix.py", root, tmp_path)
    assert (config.train_cfg.max_epochs, config.auto_scale_lr.base_batch_size) == (5, 16)
    without_validation(config)
    runner = train(config)
    rates, _ = runner.message_hub.get_scalar("train/lr").data
    constant = len(rates) * 7 // 10
    assert set(rates[:constant]) == {rates[0]}
    assert rates[-1] < 0.1 * rates[0]
    starts = {id(group["params"][0]): group["initial_lr"] for group in runner.optim_wrapper.param_groups}
    for name, parameter in runner.model.named_parameters():
        if parameter.requires_grad:
            share = 50 if name.startswith("network.backbone.") else 1
            assert starts[id(parameter)] == pytest.approx(1.61e-4 / share), name


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
