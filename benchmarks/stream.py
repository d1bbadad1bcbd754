"""What `TR2MInferencer.stream` costs beside its networks.

    python -m benchmarks.stream --model tr2m_mini --height 480 --width 640

A frame of the stream and the bare networks (relative depth, image encoder and rescaling network, on inputs that are
ready) take turns, so that whatever else the machine does slows both. The sentence is encoded before, once.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import closing
from itertools import repeat

import numpy as np
import torch

from tr2m_plugin.inference.inferencer import TR2MInferencer

TEXT = "A small kitchen with a table and two chairs."
WARM = 3


def bare_networks(inferencer: TR2MInferencer, image: np.ndarray) -> Callable[[], None]:
    """What runs the networks once, and nothing else, on inputs of a picture's."""
    relative = inferencer.relative_depth
    size = inferencer.size or relative.size
    (pixels,) = relative.preprocess([image], size, None, True)
    pixels = pixels.to(inferencer.device)
    batch = inferencer.preprocess([image], [TEXT])
    ready = inferencer.model.data_preprocessor({**batch, "data_samples": list(batch["data_samples"])})

    @torch.no_grad()
    def run() -> None:
        relative(pixels, size)
        inferencer.model(**ready, mode="tensor")
        if str(inferencer.device).startswith("cuda"):
            torch.cuda.synchronize()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tr2m_mini")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--frames", type=int, default=40)
    args = parser.parse_args()
    small = np.random.default_rng(0).integers(0, 256, (args.height // 16, args.width // 16, 3), np.uint8)
    image = small.repeat(16, 0).repeat(16, 1)
    inferencer = TR2MInferencer(args.model, device=args.device)
    networks = bare_networks(inferencer, image)
    taken: dict[str, list[float]] = {"stream": [], "networks": []}
    with closing(inferencer.stream(repeat(image), TEXT)) as predictions:
        for _ in range(WARM + args.frames):
            for name, step in (("stream", lambda: next(predictions)), ("networks", networks)):
                began = time.perf_counter()
                step()
                taken[name].append(time.perf_counter() - began)
    stream, bare = (1000 * float(np.median(taken[name][WARM:])) for name in ("stream", "networks"))
    print(
        f"{args.width} × {args.height} on {inferencer.device}: {stream:.1f} ms a frame, its networks {bare:.1f} ms: "
        f"{stream - bare:.1f} ms beside them, {stream / bare:.2f} of them (medians of {args.frames})"
    )


if __name__ == "__main__":
    main()
