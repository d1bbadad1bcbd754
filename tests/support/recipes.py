"""The repository's configs at widths, and on networks and pictures, that a test has time for."""

from pathlib import Path

from mmengine.config import ConfigDict

from tr2m_plugin.tools.train import load_config

CONFIGS = Path(__file__).parents[2] / "configs"
DATASETS = ["rooms", "colons", "miniatures"]
TINY = {
    "image_channels": 128,
    "text_channels": 160,
    "out_channels": 8,
    "features": 8,
    "num_heads": 2,
    "head_channels": 4,
}
SGD = {"optim_wrapper.optimizer": {"_delete_": True, "type": "SGD", "lr": 0.05}}


def tiny(name, root, work_dir, base="tr2m_mixed", **options):
    """A config at widths, and on networks and pictures, that a test has time for."""
    config = load_config(str(CONFIGS / name), None, str(root), base)
    if config.model.type == "NeWCRFs":
        return tiny_newcrfs(config, work_dir)
    if config.model.type == "HFDepthModel":
        return tiny_depth_anything(config, work_dir)
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


def tiny_newcrfs(config, work_dir):
    """NeWCRFs at small widths on the small world's pictures, stretched where the config takes them as they are."""
    config.model.update(version="mini07", pretrained=None)
    for hook in config.custom_hooks if "custom_hooks" in config else []:
        hook.in_channels = None
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        loader.num_workers = 0
        pipeline = loader.dataset.pipeline
        if not any(step.type == "ResizeDepthInputs" for step in pipeline):
            depth = loader is config.train_dataloader
            pipeline.insert(1, ConfigDict(type="ResizeDepthInputs", size=(64, 96), depth=depth))
        for step in pipeline:
            if step.type == "RandomCropDepth":
                step.size = (64, 64)
            if step.type == "MaskDepthBorder":
                step.box = (4, 60, 4, 92)
        loader.dataset.datasets = ["rooms"]
    config.train_dataloader.batch_size = 2
    config.work_dir = str(work_dir)
    return config


def tiny_depth_anything(config, work_dir):
    """Depth Anything as the packaged network, on the small world's pictures as they are."""
    config.model.pretrained = "mini_depth_anything"
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        loader.num_workers = 0
        loader.dataset.datasets = DATASETS[: len(loader.dataset.datasets)]
    config.train_dataloader.batch_size = 2
    config.work_dir = str(work_dir)
    return config


def few(config, iterations=2):
    """That many iterations of it, with the contrast from the first on."""
    config.train_cfg = {"type": "mmengine.IterBasedTrainLoop", "max_iters": iterations, "val_interval": iterations}
    config.log_processor.by_epoch = False
    config.default_hooks.logger = {"type": "mmengine.LoggerHook", "interval": 1, "log_metric_by_epoch": False}
    config.default_hooks.checkpoint.update(by_epoch=False, interval=iterations)
    for hook in config.get("custom_hooks", []):
        hook.start = 0
    return config


def mixed(root, work_dir, epochs=2, **options):
    config = tiny("tr2m_mixed.py", root, work_dir, **options)
    config.train_cfg = {"type": "mmengine.EpochBasedTrainLoop", "max_epochs": epochs}
    without_validation(config)
    config.param_scheduler[0].end = 5
    config.optim_wrapper.optimizer.lr = 1e-3
    return config


def without_validation(config):
    config.val_dataloader = config.val_cfg = config.val_evaluator = None
    config.default_hooks.checkpoint.update(save_best=None, rule=None)


def mini(root, work_dir, iterations, **options):
    config = few(tiny("tr2m_mini.py", root, work_dir, **options), iterations)
    without_validation(config)
    config.param_scheduler[0].end = config.param_scheduler[1].begin = 2
    return config


def together(world, work_dir, batch_size):
    """The mixed recipe for one epoch without anything random and without what looks across pictures."""
    options = {**SGD, "custom_hooks.0.keys": ["self"], "custom_hooks.0.start": 0}
    options |= {"train_dataloader.dataset.pipeline.0.text": "first", "param_scheduler": []}
    config = tiny("tr2m_mixed.py", world, work_dir, **options)
    config.train_cfg = {"type": "mmengine.EpochBasedTrainLoop", "max_epochs": 1}
    without_validation(config)
    config.train_dataloader.batch_size = batch_size
    data = config.train_dataloader.dataset
    data.pipeline = [step for step in data.pipeline if not step.type.startswith("Random")]
    return config
