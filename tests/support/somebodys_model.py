"""A depth model that knows nothing of scale-oriented contrast, and a training of it."""

import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.structures import PixelData
from torch import nn
from torch.utils.data import Dataset

from tr2m_plugin.checkpoint import register_safe_loader
from tr2m_plugin.structures import DepthDataSample


class Pictures(Dataset):
    """Twelve random pictures whose depth is their brightness."""

    def __len__(self):
        return 12

    def __getitem__(self, i):
        generator = torch.Generator().manual_seed(i)
        image = torch.rand(3, 16, 20, generator=generator)
        sample = DepthDataSample(metainfo={"sample_id": str(i)})
        sample.gt_depth_map = PixelData(data=image.mean(0, keepdim=True) * 4 + 0.5)
        return {"inputs": image, "data_samples": sample}


class SomebodysDepthModel(BaseModel):
    """An encoder with batch norm and dropout, and a head that is larger than it."""

    def __init__(self, dropout=0.0):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(dropout)
        )
        self.head = nn.Sequential(nn.Conv2d(6, 64, 1), nn.Conv2d(64, 1, 1))

    def forward(self, inputs, data_samples=None, mode="tensor"):
        inputs = torch.stack(list(inputs)) if isinstance(inputs, (list, tuple)) else inputs
        depth = self.head(self.backbone(inputs))
        if mode != "loss":
            return depth
        truth = torch.stack([s.gt_depth_map.data for s in data_samples])
        return {"loss_depth": (depth - nn.functional.interpolate(truth, depth.shape[-2:])).abs().mean()}


HOOK = {
    "type": "tr2m_plugin.SOCHook",
    "feature": "backbone",
    "projector": {"hidden_channels": 8, "out_channels": 8, "pool": 1},
}


class Watch(Hook):
    """Calls functions of the runner at points of the training, after all other hooks."""

    priority = "VERY_LOW"

    def __init__(self, **functions):
        self.functions = functions

    def before_run(self, runner):
        self.functions.get("before_run", lambda r: None)(runner)

    def before_train(self, runner):
        self.functions.get("before_train", lambda r: None)(runner)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.functions.get("after_train_iter", lambda r, o: None)(runner, outputs)


def run(work_dir, hook=HOOK, iterations=4, resume=False, model=None, optim=None, extra=(), wrapper=None, **options):
    """Trains for a few iterations of four pictures and returns the runner."""
    register_safe_loader()
    cfg = {"model_wrapper_cfg": wrapper, "compile": options.pop("compile", None)}
    runner = Runner(
        model=model or SomebodysDepthModel(),
        work_dir=str(work_dir),
        train_dataloader=options.pop("train_dataloader", None)
        or {
            "batch_size": 4,
            "num_workers": 0,
            "dataset": options.pop("dataset", None) or Pictures(),
            "sampler": {"type": "InfiniteSampler", "shuffle": False},
            "collate_fn": {"type": "pseudo_collate"},
        },
        train_cfg={"type": "IterBasedTrainLoop", "max_iters": iterations},
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.1}, **(optim or {})},
        default_hooks=options.pop("default_hooks", None)
        or {"checkpoint": {"type": "CheckpointHook", "interval": 2, "by_epoch": False}, "logger": None},
        custom_hooks=[*([hook] if hook else []), *extra],
        randomness={"seed": 0},
        cfg={key: value for key, value in cfg.items() if value},
        launcher="pytorch" if wrapper else "none",
        resume=resume,
        experiment_name=f"{work_dir.name}{iterations}{resume}{bool(hook)}",
        **{"log_level": "ERROR", **options},
    )
    runner.train()
    return runner


def soc(runner):
    """The runner's SOCHook."""
    return next(h for h in runner.hooks if type(h).__name__ == "SOCHook")


def weights(runner):
    """Everything that training changes: parameters and buffers, the projector's and the key branch's too."""
    model = getattr(runner.model, "module", runner.model)
    state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    hooks = [hook for hook in runner.hooks if type(hook).__name__ == "SOCHook"]
    names = {hook: "key" if hook.name == "soc" else f"{hook.name}.key" for hook in hooks}
    return {**state, **{f"{n}.{k}": v for hook, n in names.items() for k, v in hook.contrast.key.state_dict().items()}}


def assert_equal(found, expected, **tolerance):
    """Tensors of the same names are the same, to the bit unless a tolerance is given."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, **(tolerance or {"rtol": 0, "atol": 0}), msg=name)
