"""Pretrains the small relative depth networks: of the classes of Depth Anything, MiDaS 3.1 and DPT-Hybrid.

They are trained with the scale-and-shift-invariant loss of MiDaS (Ranftl et al., "Towards Robust Monocular Depth
Estimation", 2022) on the inverse depth of random scenes. The backbone of the first is also TR2M's small image encoder.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import (
    BitConfig,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    DPTConfig,
    DPTForDepthEstimation,
    DPTImageProcessor,
    PreTrainedModel,
    Swinv2Config,
)

from pipelines.mini_world.camera import HEIGHT, WIDTH
from pipelines.mini_world.domains import DOMAINS
from pipelines.pretrain.optimisation import take_step
from pipelines.pretrain.pictures import Pictures, inverse_depth
from tr2m_plugin.models import RelativeDepth
from tr2m_plugin.workers import end_with_parent

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def depth_anything() -> DepthAnythingForDepthEstimation:
    """Depth Anything's class on a small DINOv2, 1.18 M parameters."""
    backbone = Dinov2Config(  # type: ignore[call-arg]
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=140,
        patch_size=14,
        out_indices=[1, 2, 3, 4],
        apply_layernorm=True,
        reshape_hidden_states=False,
    )
    config = DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=128,
        neck_hidden_sizes=[24, 48, 64, 64],
        fusion_hidden_size=32,
        head_hidden_size=16,
        patch_size=14,
    )
    return DepthAnythingForDepthEstimation(config)


def midas() -> DPTForDepthEstimation:
    """MiDaS 3.1's class, DPT on a small Swin V2, 1.58 M parameters."""
    backbone = Swinv2Config(  # type: ignore[call-arg]
        image_size=128,
        embed_dim=24,
        depths=[2, 2, 2, 2],
        num_heads=[1, 2, 4, 8],
        window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    return DPTForDepthEstimation(
        DPTConfig(backbone_config=backbone, neck_hidden_sizes=[24, 48, 96, 192], fusion_hidden_size=32)
    )


def dpt_hybrid() -> DPTForDepthEstimation:
    """DPT-Hybrid's class, a small ViT on a small BiT, 0.91 M parameters."""
    backbone = BitConfig(  # type: ignore[call-arg]
        embedding_size=16,
        hidden_sizes=[32, 64, 128],
        depths=[2, 2, 2],
        layer_type="bottleneck",
        global_padding="same",
        embedding_dynamic_padding=True,
        num_groups=4,
        out_features=["stage1", "stage2", "stage3"],
    )
    config = DPTConfig(
        backbone_config=backbone,
        is_hybrid=True,
        hidden_size=96,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=384,
        image_size=128,
        patch_size=16,
        backbone_featmap_shape=[1, 128, 8, 8],
        backbone_out_indices=[0, 1, 2, 3],
        neck_ignore_stages=[0, 1],
        readout_type="project",
        reassemble_factors=[1, 1, 1, 0.5],
        neck_hidden_sizes=[32, 64, 96, 96],
        fusion_hidden_size=32,
    )
    return DPTForDepthEstimation(config)


class Architecture(NamedTuple):
    """How a network is made.

    Attributes:
        build: makes it, with random weights.
        size: height and width of its input.
        multiple: what both are a multiple of.
    """

    build: Callable[[], PreTrainedModel]
    size: tuple[int, int]
    multiple: int


ARCHITECTURES = {
    "depth_anything": Architecture(depth_anything, (HEIGHT, WIDTH), 14),
    "midas": Architecture(midas, (128, 128), 32),
    "dpt_hybrid": Architecture(dpt_hybrid, (128, 128), 16),
}


def wake_head(model: PreTrainedModel) -> None:
    """Raises the last bias: the head ends in a ReLU, which must not start dead."""
    head: torch.nn.Module = model.head  # type: ignore[assignment]
    last = [module for module in head.modules() if isinstance(module, torch.nn.Conv2d)][-1]
    assert last.bias is not None
    torch.nn.init.constant_(last.bias, 0.3)


def normalize(inverse: Tensor) -> Tensor:
    """MiDaS's normalisation of (B, H, W): zero median, unit mean absolute deviation, per image."""
    flat = inverse.flatten(1)
    median = flat.median(1).values[:, None, None]
    deviation = (inverse - median).abs().mean((1, 2), keepdim=True)
    return (inverse - median) / deviation.clamp(min=1e-6)


def gradient_difference(difference: Tensor, scales: int = 3) -> Tensor:
    """MiDaS's gradient matching on a difference of inverse depths (B, H, W), summed over scales."""
    total = difference.new_zeros(())
    for _ in range(scales):
        total = total + difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()
        difference = difference[:, ::2, ::2]
    return total


def ssi_loss(prediction: Tensor, inverse: Tensor) -> Tensor:
    """Scale-and-shift-invariant loss: mean absolute difference and gradient matching of normalised maps (B, H, W)."""
    difference = normalize(prediction) - normalize(inverse)
    return difference.abs().mean() + 0.5 * gradient_difference(difference)


def anchor_loss(prediction: Tensor, inverse: Tensor) -> Tensor:
    """Keeps the raw output near inverse depth divided by the image's largest; the loss above leaves it adrift."""
    return F.l1_loss(prediction, inverse / inverse.amax((1, 2), keepdim=True))


def evaluate(network: RelativeDepth, name: str, count: int = 100) -> dict[str, float]:
    """AbsRel and δ1 after a least-squares fit of scale and shift to the true inverse depth, mean over pictures."""
    abs_rel, delta1 = [], []
    for number in range(count):
        image, inverse = inverse_depth(name, "pretrain-val", number)
        relative = network.predict([image])[0, 0].double().numpy().ravel()
        truth = inverse.ravel().astype(np.float64)
        seen = truth > 1 / 80 if DOMAINS[name].unit == "m" else truth > 0
        system = np.stack([relative, np.ones_like(relative)], 1)[seen]
        fit = system @ np.linalg.lstsq(system, truth[seen], rcond=None)[0]
        ratio = truth[seen] / np.maximum(fit, 1 / 80)
        abs_rel.append(np.abs(ratio - 1).mean())
        delta1.append((np.maximum(ratio, 1 / ratio) < 1.25).mean())
    return {"abs_rel": float(np.mean(abs_rel)), "d1": float(np.mean(delta1))}


def predict(model: PreTrainedModel, image: Tensor, size: tuple[int, int]) -> Tensor:
    """The network's output for normalised images (B, 3, H, W), stretched to its input size and back, (B, H, W)."""
    stretched = F.interpolate(image, size, mode="bilinear", align_corners=True)
    depth = model(stretched).predicted_depth[:, None]
    return F.interpolate(depth, image.shape[-2:], mode="bilinear", align_corners=True)[:, 0]


def train(model: PreTrainedModel, size: tuple[int, int], steps: int, batch_size: int, workers: int, seed: int) -> None:
    """Trains in place with AdamW on a one-cycle schedule, printing the loss every hundred steps."""
    torch.manual_seed(seed)
    mean, std = torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.2e-3, total_steps=steps, pct_start=0.1)
    loader = iter(DataLoader(Pictures(seed=seed), batch_size, num_workers=workers, worker_init_fn=end_with_parent))
    began, running = time.time(), 0.0
    for step in range(1, steps + 1):
        image, inverse = next(loader)
        prediction = predict(model, (image - mean) / std, size)
        loss = ssi_loss(prediction, inverse) + anchor_loss(prediction, inverse)
        running += take_step(loss, model, optimizer, schedule)
        if step % 100 == 0:
            rate = step * batch_size / (time.time() - began)
            print(f"step {step}/{steps}  loss {running / 100:.4f}  {rate:.0f} pictures/s", flush=True)
            running = 0.0


def main() -> None:
    """Trains the network that the command line describes, and saves it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder to write, as transformers saves it")
    parser.add_argument("--architecture", choices=list(ARCHITECTURES), default="depth_anything")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--workers", type=int, default=1, help="processes that render")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    architecture = ARCHITECTURES[args.architecture]
    model = architecture.build()
    wake_head(model)
    train(model, architecture.size, args.steps, args.batch_size, args.workers, args.seed)
    model.half().save_pretrained(args.out)
    DPTImageProcessor(
        size=dict(zip(("height", "width"), architecture.size, strict=True)),
        keep_aspect_ratio=False,
        ensure_multiple_of=architecture.multiple,
        image_mean=MEAN,
        image_std=STD,
    ).save_pretrained(args.out)
    network = RelativeDepth(str(args.out), size=(HEIGHT, WIDTH))
    numbers = {name: evaluate(network, name) for name in DOMAINS}
    print(json.dumps(numbers, indent=1))


if __name__ == "__main__":
    main()
