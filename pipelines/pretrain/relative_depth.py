"""Pretrains the small relative depth network whose backbone is also the image encoder.

A `DepthAnythingForDepthEstimation` on a small `Dinov2`, trained with the scale-and-shift-invariant loss of MiDaS
(Ranftl et al., "Towards Robust Monocular Depth Estimation", 2022) on the inverse depth of random scenes.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config, DPTImageProcessor

from pipelines.mini_world.camera import HEIGHT, WIDTH
from pipelines.mini_world.domains import DOMAINS
from pipelines.pretrain.pictures import Pictures, inverse_depth

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def build_model() -> DepthAnythingForDepthEstimation:
    """The network, 1.18 M parameters, with random weights."""
    backbone = Dinov2Config(
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
    model = DepthAnythingForDepthEstimation(config)
    torch.nn.init.constant_(model.head.conv3.bias, 0.3)  # the head ends in a ReLU, which must not start dead
    return model


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


@torch.no_grad()
def evaluate(model: DepthAnythingForDepthEstimation, name: str, count: int = 100) -> dict[str, float]:
    """AbsRel and δ1 after a least-squares fit of scale and shift to the true inverse depth, mean over pictures."""
    mean, std = torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]
    abs_rel, delta1 = [], []
    for number in range(count):
        image, inverse = inverse_depth(name, "pretrain-val", number)
        picture = (torch.from_numpy(image).permute(2, 0, 1) / 255 - mean) / std
        relative = model(picture[None]).predicted_depth[0].double().numpy().ravel()
        truth = inverse.ravel().astype(np.float64)
        seen = truth > 1 / 80 if DOMAINS[name].unit == "m" else truth > 0
        system = np.stack([relative, np.ones_like(relative)], 1)[seen]
        fit = system @ np.linalg.lstsq(system, truth[seen], rcond=None)[0]
        ratio = truth[seen] / np.maximum(fit, 1 / 80)
        abs_rel.append(np.abs(ratio - 1).mean())
        delta1.append((np.maximum(ratio, 1 / ratio) < 1.25).mean())
    return {"abs_rel": float(np.mean(abs_rel)), "d1": float(np.mean(delta1))}


def train(model: DepthAnythingForDepthEstimation, steps: int, batch_size: int, workers: int, seed: int) -> None:
    """Trains in place with AdamW on a one-cycle schedule, printing the loss every hundred steps."""
    torch.manual_seed(seed)
    mean, std = torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.2e-3, total_steps=steps, pct_start=0.1)
    loader = iter(DataLoader(Pictures(seed=seed), batch_size=batch_size, num_workers=workers))
    began, running = time.time(), 0.0
    for step in range(1, steps + 1):
        image, inverse = next(loader)
        prediction = model((image - mean) / std).predicted_depth
        loss = ssi_loss(prediction, inverse) + anchor_loss(prediction, inverse)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        running += loss.item()
        if step % 100 == 0:
            rate = step * batch_size / (time.time() - began)
            print(f"step {step}/{steps}  loss {running / 100:.4f}  {rate:.0f} pictures/s", flush=True)
            running = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder to write, as transformers saves it")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--workers", type=int, default=1, help="processes that render")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    model = build_model()
    train(model, args.steps, args.batch_size, args.workers, args.seed)
    model.half().save_pretrained(args.out)
    size = {"height": HEIGHT, "width": WIDTH}
    processor = DPTImageProcessor(
        size=size, keep_aspect_ratio=False, ensure_multiple_of=14, image_mean=MEAN, image_std=STD
    )
    processor.save_pretrained(args.out)
    model.float().eval()
    numbers = {name: evaluate(model, name) for name in DOMAINS}
    print(json.dumps(numbers, indent=1))


if __name__ == "__main__":
    main()
