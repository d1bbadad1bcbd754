"""A training of milliseconds with everything that a checkpoint keeps, and a way to kill it at any of its writes."""

import os
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from torch import nn
from torch.utils.data import Dataset

from tr2m_plugin.hooks import checkpoint_hook
from tr2m_plugin.registry import DATASETS, METRICS, MODELS
from tr2m_plugin.tools.train import train

ITERATIONS = 6


@DATASETS.register_module("ToyPoints", force=True)
class Points(Dataset):
    metainfo: dict = {}  # noqa: RUF012

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return {"inputs": torch.full((1,), index / 8.0), "data_samples": torch.full((1,), 3 * index / 8.0)}


@MODELS.register_module("ToyLine", force=True)
class Line(BaseModel):
    def __init__(self, width=1):
        super().__init__()
        self.line = nn.Linear(1, width)
        nn.init.zeros_(self.line.weight)
        nn.init.zeros_(self.line.bias)

    def forward(self, inputs, data_samples, mode):
        pred = self.line(torch.stack(list(inputs))).mean(1)
        if mode == "loss":
            return {"loss": (pred - torch.stack(list(data_samples))[:, 0]).square().mean()}
        return [{"weight": float(self.line.weight[0, 0].detach())}]


@METRICS.register_module("ToyDistance", force=True)
class Distance(BaseMetric):
    """The weight's distance from a value that training passes on its way: the best iteration is not the last."""

    def process(self, data_batch, data_samples):
        self.results += [abs(sample["weight"] - 0.25) for sample in data_samples]

    def compute_metrics(self, results):
        return {"abs_rel": results[0]}


def toy(work_dir, iterations=ITERATIONS, hook=None, **options):
    """A checkpoint in every second of 6 iterations, each validated."""
    config = {
        "model": {"type": "ToyLine"},
        "work_dir": str(work_dir),
        "default_scope": "tr2m_plugin",
        "train_dataloader": loader(True),
        "val_dataloader": loader(False),
        "val_evaluator": {"type": "ToyDistance"},
        "train_cfg": {"type": "mmengine.IterBasedTrainLoop", "max_iters": iterations, "val_interval": 2},
        "val_cfg": {"type": "mmengine.ValLoop"},
        "optim_wrapper": {"type": "mmengine.OptimWrapper", "optimizer": {"type": "AdamW", "lr": 0.1}},
        "param_scheduler": [{"type": "mmengine.LinearLR", "start_factor": 0.5, "by_epoch": False, "end": ITERATIONS}],
        "default_hooks": {
            "checkpoint": {
                "type": "SafeCheckpointHook",
                "by_epoch": False,
                "interval": 2,
                "max_keep_ckpts": 1,
                "save_best": "abs_rel",
                "rule": "less",
                **(hook or {}),
            }
        },
        "log_processor": {"type": "mmengine.LogProcessor", "by_epoch": False},
        "log_level": "WARNING",
        "randomness": {"seed": 0},
        **options,
    }
    return Config(config)


def loader(shuffle):
    sampler = {"type": "mmengine.InfiniteSampler" if shuffle else "mmengine.DefaultSampler", "shuffle": shuffle}
    return {"batch_size": 2, "num_workers": 0, "sampler": sampler, "dataset": {"type": "ToyPoints"}}


def killed_at(number, config, resume=False):
    """Trains in a forked process that ends, as by signal 9, at one of the moments of its writing.

    Args:
        number: number of the moment, from 1; before, in the middle and after every file that is written, before every
            validation, and before every removal.

    Returns:
        Whether the process was killed; otherwise it trained to the end.
    """
    process = os.fork()
    if process == 0:
        status = 1
        try:
            torch.set_num_threads(1)
            _count_down(number)
            train(config, resume)
            status = 0
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert status in (0, 9), "the training itself failed"
    return status == 9


def _count_down(number):
    from mmengine.fileio import LocalBackend
    from mmengine.runner import ValLoop

    left = [number]

    def moment(act=lambda: None):
        left[0] -= 1
        if left[0] == 0:
            act()
            os._exit(9)

    def before(owner, name, when=lambda *_: True, act=lambda *_: None):
        real = getattr(owner, name)

        def wrapped(*args, **kwargs):
            if when(*args):
                moment(lambda: act(*args))
            return real(*args, **kwargs)

        setattr(owner, name, wrapped)

    before(LocalBackend, "put", act=lambda _, content, path: Path(path).write_bytes(content[: len(content) // 2]))
    before(checkpoint_hook, "_to_disk")
    before(os, "replace")
    before(ValLoop, "run")
    before(Path, "unlink", lambda path, *_, **__: path.suffix == ".pth" and path.is_file())
