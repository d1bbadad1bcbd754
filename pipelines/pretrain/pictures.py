"""An endless stream of freshly rendered pictures with dense inverse depth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from pipelines.mini_world.domains import BLOCKS, DOMAINS, Domain, render

SHARES = {"rooms": 0.3, "streets": 0.25, "colons": 0.15, "blocks": 0.3}
"""What pretraining sees: the training domains and random solids; never a zero-shot domain."""


def dense(name: str) -> Domain:
    """A domain whose depth is known everywhere, infinite in the sky."""
    domain = BLOCKS if name == "blocks" else DOMAINS[name]
    return replace(domain, lidar=False, depth_range=(0.0, float("inf")))


def inverse_depth(name: str, split: str, number: int) -> tuple[np.ndarray, np.ndarray]:
    """One picture, (H, W, 3) uint8, and its inverse depth, (H, W) float32, zero in the sky."""
    sample = render(name, split, number, dense(name))
    return sample.image, 1 / sample.depth


class Pictures(IterableDataset):
    """Random pictures of the pretraining domains, half of them mirrored, with changes of brightness and contrast.

    Args:
        split: split of the miniature world; no other split shares a picture with it. Default: pretrain.
        seed: seed of the order and of the changes. Default: 0.
    """

    def __init__(self, split: str = "pretrain", seed: int = 0) -> None:
        self.split, self.seed = split, seed

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        worker = get_worker_info()
        first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        number = first
        while True:
            rng = np.random.default_rng([self.seed, number])
            name = str(rng.choice(list(SHARES), p=list(SHARES.values())))
            image, inverse = inverse_depth(name, self.split, number)
            if rng.random() < 0.5:
                image, inverse = image[:, ::-1], inverse[:, ::-1]
            picture = image / np.float32(255)
            picture = (picture * rng.uniform(0.8, 1.2)) ** rng.uniform(0.8, 1.25) * rng.uniform(0.9, 1.1, 3)
            pixels = torch.from_numpy(np.ascontiguousarray(picture, np.float32)).permute(2, 0, 1).clamp(0, 1)
            yield pixels, torch.from_numpy(np.ascontiguousarray(inverse))
            number += step
