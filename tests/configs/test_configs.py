"""Every config of the repository builds and trains."""

import shutil
from pathlib import Path

import pytest
import torch

from tr2m_plugin.tools.train import load_config, train

CONFIGS = Path(__file__).parents[2] / "configs"
NAMES = sorted(path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("*.py") if "_base_" not in path.parts)
DATASETS = ["rooms", "colons", "miniatures"]
TINY = {
    "image_channels": 128,
    "text_channels": 160,
    "out_channels": 8,
    "features": 8,
    "num_heads": 2,
    "head_channels": 4,
}


@pytest.fixture(scope="module")
def root(world, tmp_path_factory):
    """The small world, with relative depth of the networks of Table 9 too."""
    copy = shutil.copytree(world, tmp_path_factory.mktemp("configs") / "world")
    for name in ("midas", "dpt"):
        shutil.copytree(world / "relative_depth", copy / "relative_depth" / name)
    return copy


def tiny(name, root, work_dir, base="tr2m_mixed", **options):
    """A config at widths, and on networks and pictures, that a test has time for."""
    config = load_config(str(CONFIGS / name), None, str(root), base)
    model = config.model
    model.image_encoder.pretrained = "mini_depth_anything"
    if model.rescale_net.type == "RescaleNet":
        model.rescale_net.update(TINY)
    else:
        model.rescale_net.text_channels = TINY["text_channels"]
    for hook in config.custom_hooks:
        hook.update(in_channels=128, projector={"hidden_channels": 8, "out_channels": 8, "pool": 1})
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        loader.num_workers = 0
        if "datasets" in loader.dataset:
            loader.dataset.datasets = DATASETS
    config.train_dataloader.batch_size = 2
    config.work_dir = str(work_dir)
    config.merge_from_dict(options)
    return config


def few(config, iterations=2):
    """That many iterations of it, with the contrast from the first on."""
    config.train_cfg = {"type": "mmengine.IterBasedTrainLoop", "max_iters": iterations, "val_interval": iterations}
    config.log_processor.by_epoch = False
    config.default_hooks.logger = {"type": "mmengine.LoggerHook", "interval": 1, "log_metric_by_epoch": False}
    config.default_hooks.checkpoint.update(by_epoch=False, interval=iterations)
    for hook in config.custom_hooks:
        hook.start = 0
    return config


@pytest.mark.parametrize("name", NAMES)
def test_it_trains(name, root, tmp_path):
    config = few(tiny(name, root, tmp_path))
    runner = train(config)
    losses = {key for key in runner.message_hub.log_scalars if key.startswith("train/loss")}
    assert ("train/loss_soc" in losses) == bool(config.custom_hooks)
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
