"""What scale-oriented contrast costs a depth model: time and memory of a training step with the hook and without.

    python -m benchmarks.soc_hook --model newcrfs dpt

The networks have random weights of the published sizes; time does not depend on their values. Each case runs in a
process of its own, so that the peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import transformers
from mmengine.hooks import Hook
from mmengine.runner import Runner

from benchmarks.train_step import RandomSamples, peak_memory
from tr2m_plugin.device import pick_device
from tr2m_plugin.models import HFDepthModel, NeWCRFs


def newcrfs(folder: Path) -> tuple[torch.nn.Module, tuple[int, int], dict[str, Any]]:
    """NeWCRFs tiny07 on NYUv2's size; the encoder's third stage."""
    normal = {"type": "mmengine.ImgDataPreprocessor", "mean": [128.0] * 3, "std": [64.0] * 3}
    return (
        NeWCRFs(version="tiny07", data_preprocessor=normal),
        (480, 640),
        {"feature": "backbone", "index": ["feature_maps", 2]},
    )


def dpt(folder: Path) -> tuple[torch.nn.Module, tuple[int, int], dict[str, Any]]:
    """A DPT on ViT-B/16 at 384 × 384; the last layer's tokens."""
    config = transformers.DPTConfig(
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        image_size=384,
        backbone_out_indices=[2, 5, 8, 11],
        neck_hidden_sizes=[96, 192, 384, 768],
        is_hybrid=False,
    )
    transformers.DPTForDepthEstimation(config).save_pretrained(folder)
    transformers.DPTImageProcessor().save_pretrained(folder)
    model = HFDepthModel(str(folder), output="disparity")
    return model, (384, 384), {"feature": "network.dpt.encoder.layer.11"}


MODELS = {"newcrfs": newcrfs, "dpt": dpt}


class Clock(Hook):
    """Seconds of every step but the first, and of its key branch."""

    priority = "LOWEST"

    def __init__(self, device: str) -> None:
        self.device, self.steps = device, []

    def _now(self) -> float:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()
        return time.perf_counter()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Starts the step."""
        self._began = self._now()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Ends it."""
        if runner.iter:
            self.steps.append(self._now() - self._began)


def run(name: str, hooked: bool, batch: int, steps: int, device: str) -> dict[str, float]:
    """Seconds of the fastest step, peak memory in GB and parameters of the model and of the key branch."""
    torch.manual_seed(0)
    clock = Clock(device)
    with tempfile.TemporaryDirectory() as folder:
        model, size, options = MODELS[name](Path(folder))
        hooks: list[Any] = [{"type": "tr2m_plugin.SOCHook", **options}] if hooked else []
        runner = Runner(
            model=model.to(device),
            work_dir=folder,
            train_dataloader={
                "batch_size": batch,
                "num_workers": 0,
                "dataset": RandomSamples(size, 8, None),
                "sampler": {"type": "InfiniteSampler", "shuffle": False},
                "collate_fn": {"type": "pseudo_collate"},
            },
            train_cfg={"type": "IterBasedTrainLoop", "max_iters": steps + 1},
            optim_wrapper={"optimizer": {"type": "Adam", "lr": 1e-5}},
            default_hooks={"checkpoint": None, "logger": None},
            custom_hooks=[*hooks, clock],
            log_level="ERROR",
        )
        runner.train()
    key = [p for hook in runner.hooks if type(hook).__name__ == "SOCHook" for p in hook.contrast.key.parameters()]
    return {
        "seconds": min(clock.steps),
        "memory": peak_memory(device),
        "model": sum(p.numel() for p in runner.model.parameters()) / 1e6,
        "key": sum(p.numel() for p in key) / 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--batch", type=int, default=2, help="pictures per step (default: 2)")
    parser.add_argument("--steps", type=int, default=3, help="that are measured, after one more (default: 3)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--case", choices=["with", "without"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    device = pick_device(args.device)
    if args.case:
        print(json.dumps(run(args.model[0], args.case == "with", args.batch, args.steps, device)))
        return
    for name in args.model:
        found = {}
        for case in ("without", "with"):
            options = ["--batch", str(args.batch), "--steps", str(args.steps), "--device", device, "--case", case]
            command = [sys.executable, "-m", "benchmarks.soc_hook", "--model", name, *options]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found[case] = json.loads(done.stdout.splitlines()[-1])
        plain, soc = found["without"], found["with"]
        print(
            f"{name}, batch {args.batch}, {device}: {plain['seconds']:.2f} s a step without the hook, "
            f"{soc['seconds']:.2f} s with it, {soc['seconds'] / plain['seconds']:.2f} times as long; peak memory "
            f"{plain['memory']:.2f} and {soc['memory']:.2f} GB, {soc['memory'] / plain['memory']:.2f} times; "
            f"{plain['model']:.1f} million parameters, {soc['key']:.1f} in the key branch"
        )


if __name__ == "__main__":
    main()
