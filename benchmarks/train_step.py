"""Where the time of a training step goes, part by part, and what computing the frozen networks beforehand saves.

    python -m benchmarks.train_step --size full

The networks have random weights of the right sizes; time does not depend on their values.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import PixelData
from torch.utils.data import Dataset
from transformers import (
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    Dinov2Model,
)

from tr2m_plugin.device import pick_device
from tr2m_plugin.models import TR2M, DINOv2Encoder, Frozen
from tr2m_plugin.structures import DepthDataSample
from tr2m_plugin.tools.train import load_config

ENCODERS = {"full": (1024, 24, 16), "mini": (128, 4, 4)}
"""Width, layers and heads of DINOv2: ViT-L, and that of the miniature world."""

CONFIGS = {"full": "configs/tr2m_mixed.py", "mini": "configs/tr2m_mini.py"}


def encoder(size: str) -> DINOv2Encoder:
    """A DINOv2 of that size with random weights."""
    width, layers, heads = ENCODERS[size]
    made = DINOv2Encoder.__new__(DINOv2Encoder)
    config = Dinov2Config(hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads, image_size=518)
    Frozen.__init__(made, Dinov2Model(config))
    made.channels, made.patch_size = width, 14
    return made


class RandomSamples(Dataset):
    """Random samples, shaped as the config's.

    Args:
        hw: height and width of the pictures.
        text_channels: length of the sentence's embedding.
        image_channels: number of channels of image features that are there already; None leaves them to the encoder.
    """

    def __init__(self, hw: tuple[int, int], text_channels: int, image_channels: int | None) -> None:
        self.hw, self.text_channels, self.image_channels = hw, text_channels, image_channels

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(index)
        # Smooth, as depth is: over noise, every feature's nearest pixel is of the same class.
        coarse = torch.rand(1, 1, 8, 10, generator=generator)
        relative = F.interpolate(coarse, self.hw, mode="bilinear", align_corners=True)[0]
        sample = DepthDataSample(metainfo={"sample_id": str(index), "dataset": "noise"})
        sample.relative_depth_map = PixelData(data=relative)
        sample.gt_depth_map = PixelData(data=1 / (0.1 + relative))
        sample.text_features = torch.randn(1, self.text_channels, generator=generator)
        if self.image_channels:
            patches = self.hw[0] // 14 * (self.hw[1] // 14)
            sample.image_features = torch.randn(patches, self.image_channels, generator=generator)
        return {"inputs": torch.randint(0, 256, (3, *self.hw), dtype=torch.uint8), "data_samples": sample}


class Stopwatch(Hook):
    """Seconds that parts of the training step take, per iteration; the first iteration is left out."""

    priority = "LOWEST"

    def __init__(self, device: str) -> None:
        self.device, self.parts, self.steps = device, defaultdict(list), []
        self._running: dict[str, float] = defaultdict(float)
        self._extra = 0.0

    def now(self) -> float:
        """The time, after everything that was asked of the device is done."""
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()
        return time.perf_counter()

    def watch(self, owner: Any, method: str, name: str) -> None:
        """Adds the time of an object's method to a part."""
        original: Callable = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = self.now()
            result = original(*args, **kwargs)
            self._running[name] += self.now() - began
            return result

        setattr(owner, method, timed)

    def before_run(self, runner: Runner) -> None:
        """Wraps the parts, once hooks before this one have added theirs."""
        model = runner.model
        if model.image_encoder is not None:
            self.watch(model.image_encoder, "forward", "image encoder (frozen)")
        self.watch(model.rescale_net, "forward", "rescale net, forward")
        self.watch(model, "_losses", "losses")
        self.watch(runner.optim_wrapper, "backward", "backward")
        self.watch(runner.optim_wrapper, "step", "optimizer")
        for hook in runner.hooks:
            if type(hook).__name__ == "SOCHook":
                self.watch(hook, "after_train_iter", "SOC, moving average")
                self._watch_contrast(hook)

    def _watch_contrast(self, hook: Any) -> None:
        original = hook._contrast

        def timed(*args: Any) -> torch.Tensor:
            feature = hook.contrast.captured["feature"]
            began = self.now()
            loss = original(*args)
            middle = self.now()
            # What its backward pass takes down to the hooked feature; the step's own repeats it, so it is taken out.
            wanted = [feature, *hook.contrast.parameters()]
            torch.autograd.grad(loss, wanted, retain_graph=True)
            ended = self.now()
            self._running["SOC, forward"] += middle - began
            self._running["SOC, backward (inside backward)"] += ended - middle
            self._extra += ended - middle
            return loss

        hook._contrast = timed

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Starts the step."""
        self._running.clear()
        self._extra, self._began = 0.0, self.now()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Ends the step."""
        if runner.iter > 0:
            self.steps.append(self.now() - self._began - self._extra)
            for name, seconds in self._running.items():
                self.parts[name].append(seconds)


def peak_memory(device: str) -> float:
    """The most memory used so far, GB: of the GPU, or of the process."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def run(size: str, batch: int, steps: int, cached: bool, device: str) -> tuple[Stopwatch, Runner]:
    """Trains for a few steps.

    Args:
        size: full or mini.
        batch: pictures per step.
        steps: that are measured; one more comes first.
        cached: whether image features are given rather than computed.
        device: torch device.
    """
    config: Config = load_config(CONFIGS[size])
    options = {k: v for k, v in config.model.items() if k not in ("type", "image_encoder")}
    model = TR2M(**options)
    model.image_encoder = None if cached else encoder(size)
    channels = config.model.rescale_net
    data = RandomSamples(
        tuple(config.relative_depth["size"]), channels.text_channels, channels.image_channels if cached else None
    )
    watch = Stopwatch(device)
    hooks = [{**hook, "start": 0} for hook in config.custom_hooks]
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(
            model=model.to(device),
            work_dir=folder,
            train_dataloader={
                "batch_size": batch,
                "num_workers": 0,
                "dataset": data,
                "sampler": {"type": "InfiniteSampler", "shuffle": False},
                "collate_fn": {"type": "pseudo_collate"},
            },
            train_cfg={"type": "IterBasedTrainLoop", "max_iters": steps + 1},
            optim_wrapper=config.optim_wrapper,
            default_hooks={"checkpoint": None, "logger": None},
            default_scope="tr2m_plugin",
            custom_hooks=[*hooks, watch],
            log_level="ERROR",
            experiment_name=f"step-{size}-{cached}-{os.getpid()}",
        )
        runner.train()
    return watch, runner


@torch.no_grad()
def other_networks(batch: int, device: str) -> float:
    """Seconds that CLIP ViT-L/14's text encoder and Depth Anything Small take for a batch at full size."""
    text = CLIPTextModelWithProjection(
        CLIPTextConfig(
            hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, projection_dim=768
        )
    )
    backbone = Dinov2Config(
        hidden_size=384,
        num_hidden_layers=12,
        num_attention_heads=6,
        image_size=518,
        out_indices=[9, 10, 11, 12],
        apply_layernorm=True,
        reshape_hidden_states=False,
    )
    depth = DepthAnythingForDepthEstimation(
        DepthAnythingConfig(
            backbone_config=backbone,
            reassemble_hidden_size=384,
            neck_hidden_sizes=[48, 96, 192, 384],
            fusion_hidden_size=64,
        )
    )
    text, depth = text.eval().to(device), depth.eval().to(device)
    tokens = torch.randint(0, 1000, (batch, 77), device=device)
    images = torch.randn(batch, 3, 434, 560, device=device)
    watch, times = Stopwatch(device), []
    for _ in range(2):
        began = watch.now()
        text(tokens)
        depth(images)
        times.append(watch.now() - began)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=list(CONFIGS), default="full")
    parser.add_argument("--batch", type=int, default=1, help="pictures per step; the recipe has 8")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    device = pick_device(args.device)
    watch, _ = run(args.size, args.batch, args.steps, False, device)
    memory = peak_memory(device)
    step = min(watch.steps)
    print(f"{args.size} size, batch {args.batch}, {device}: {step:.2f} s a step, peak memory {memory:.1f} GB")
    best = {name: min(times) for name, times in watch.parts.items()}
    for name, seconds in best.items():
        print(f"  {name:34s} {seconds:7.2f} s  {seconds / step:6.1%}")
    soc = sum(seconds for name, seconds in best.items() if name.startswith("SOC"))
    print(f"  {'SOC, all of it':34s} {soc:7.2f} s  {soc / step:6.1%}")
    cached = min(run(args.size, args.batch, args.steps, True, device)[0].steps)
    print(f"image features cached: {cached:.2f} s a step; encoding in the step takes {step / cached:.2f} times as long")
    if args.size == "full":
        nothing = step + other_networks(args.batch, device)
        print(f"nothing cached (text and relative depth in the step too): {nothing / step:.2f} times the step as it is")


if __name__ == "__main__":
    main()
