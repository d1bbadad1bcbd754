"""How much faster class sums are than the matrix of all pairs, for the same loss and the same gradients.

python -m benchmarks.soc
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

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


def seconds(function: Callable[[], Tensor], repeats: int) -> float:
    """Best time of a forward and backward pass."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        function().backward()
        times.append(time.perf_counter() - began)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[18, 37, 74], help="side of the feature map in pixels")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--channels", type=int, default=160)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    for side in args.sizes:
        torch.manual_seed(0)
        shape = (args.batch, side * side, args.channels)
        query, keys = torch.randn(shape, requires_grad=True), [torch.randn(shape) for _ in range(2)]
        classes = torch.randint(0, 21, shape[:2])
        key_classes = [torch.randint(0, 21, shape[:2]) for _ in range(2)]
        fast = lambda: scale_oriented_contrast(query, keys, classes, key_classes, 20)  # noqa: B023, E731
        slow = lambda: by_matrix(query, keys, classes, key_classes)  # noqa: B023, E731
        difference = abs(fast().item() - slow().item())
        a, b = seconds(fast, args.repeats), seconds(slow, args.repeats)
        print(
            f"{side:3d} × {side:<3d}  class sums {a * 1e3:7.1f} ms  matrix {b * 1e3:8.1f} ms  "
            f"ratio {b / a:6.1f}  difference of the losses {difference:.1e}"
        )


if __name__ == "__main__":
    main()
