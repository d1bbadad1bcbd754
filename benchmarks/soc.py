"""Class sums against the matrix of all pairs, for the same scale-oriented contrast and the same gradients.

    python -m benchmarks.soc

Forward and backward, float32, one thread, two key maps: time, peak of the allocated memory, largest difference.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from tr2m_plugin.losses import scale_oriented_contrast


def by_matrix(query: Tensor, keys: list[Tensor], classes: Tensor, key_classes: list[Tensor]) -> Tensor:
    """Eq. 8 with every similarity written out; keys pooled for S_p, summed for S_n."""
    query = F.normalize(query, dim=-1)
    positive, count, negative = 0.0, 0.0, 0.0
    for key, others in zip(keys, key_classes, strict=True):
        similarity = query @ F.normalize(key, dim=-1).transpose(1, 2)
        same = (classes[:, :, None] == others[:, None]).float()
        positive, count = positive + (similarity * same).sum(-1), count + same.sum(-1)
        negative = negative + (similarity * (1 - same)).sum(-1) / (1 - same).sum(-1)
    return F.softplus(negative - positive / count).mean()


class Cost(NamedTuple):
    """What a forward and backward pass costs.

    Attributes:
        seconds: best of several.
        bytes: most that was allocated at a time, beside what was there before.
        loss: its value.
        gradient: gradient of the query.
    """

    seconds: float
    bytes: int
    loss: Tensor
    gradient: Tensor


def peak(function: Callable[[], object]) -> int:
    """The most bytes that a function has allocated at a time, by the profiler's record of every allocation."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        function()
    total = most = 0
    for event in sorted(record.profiler.kineto_results.events(), key=lambda e: e.start_ns()):
        if event.name() == "[memory]":
            total += event.nbytes()
            most = max(most, total)
    return most


def cost(loss: Callable[[], Tensor], query: Tensor, repeats: int) -> Cost:
    """Times and weighs a loss."""
    times = []
    for _ in range(repeats):
        query.grad = None
        began = time.perf_counter()
        value = loss()
        value.backward()
        times.append(time.perf_counter() - began)
    gradient = query.grad
    query.grad = None
    return Cost(min(times), peak(lambda: loss().backward()), value.detach(), gradient)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[18, 37, 74], help="side of the feature map in pixels")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--channels", type=int, default=160)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for side in args.sizes:
        torch.manual_seed(0)
        shape = (args.batch, side * side, args.channels)
        query, keys = torch.randn(shape, requires_grad=True), [torch.randn(shape) for _ in range(2)]
        classes = torch.randint(0, 21, shape[:2])
        key_classes = [torch.randint(0, 21, shape[:2]) for _ in range(2)]
        given = (query, keys, classes, key_classes)
        fast = cost(lambda: scale_oriented_contrast(*given, 20), query, args.repeats)  # noqa: B023
        slow = cost(lambda: by_matrix(*given), query, args.repeats)  # noqa: B023
        differences = [(a - b).abs().max().item() for a, b in ((fast.loss, slow.loss), (fast.gradient, slow.gradient))]
        print(
            f"{side:3d} × {side:<3d}  class sums {fast.seconds * 1e3:7.1f} ms {fast.bytes / 1e6:7.1f} MB"
            f"   matrix {slow.seconds * 1e3:8.1f} ms {slow.bytes / 1e6:7.1f} MB"
            f"   ratio {slow.seconds / fast.seconds:5.1f} in time, {slow.bytes / fast.bytes:5.1f} in memory"
            f"   largest difference {max(differences):.1e}"
        )


if __name__ == "__main__":
    main()
