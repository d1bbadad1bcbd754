"""What measuring costs beside the model, and that its memory does not grow with the number of pictures.

    python -m benchmarks.evaluate

Measures predictions of 434 x 560 against true depth of 480 x 640 in PNG files by NYUv2's release protocol, on one core,
and compares with keeping the pixels of all pictures until the end, as pooled metrics do.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from tr2m_plugin.benchmark.datasets import Dataset
from tr2m_plugin.benchmark.estimators import Estimator, Facts, Returns
from tr2m_plugin.benchmark.evaluation import Evaluation, Options
from tr2m_plugin.datasets.readers import load_depth
from tr2m_plugin.evaluation import depth_metrics, load_protocol
from tr2m_plugin.rows import IndexRow

DIFFERENT = 20
"""Files on disk; a picture number takes one of them."""


class Instant(Estimator):
    """A model that costs nothing: one of a few fixed maps."""

    returns = Returns("depth", metric=True, unit="m")
    facts = Facts("instant", "instant", "0" * 12)

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.maps = [rng.uniform(0.5, 9, (434, 560)).astype(np.float32) for _ in range(DIFFERENT)]

    def predict(self, images: Sequence[np.ndarray], texts: Any, size: Any = None) -> list[np.ndarray]:
        return [self.maps[int(image[0, 0, 0]) % DIFFERENT] for image in images]


def make_files(folder: Path) -> None:
    """A few pictures with depth, as NYUv2's."""
    rng = np.random.default_rng(1)
    smooth = np.linspace(700, 9000, 480)[:, None] + np.linspace(0, 300, 640)
    for number in range(DIFFERENT):
        depth = (smooth + rng.normal(0, 5, smooth.shape)).astype(np.uint16)
        depth[rng.random(depth.shape) < 0.1] = 0
        cv2.imwrite(str(folder / f"{number}.png"), depth)
        cv2.imwrite(str(folder / f"{number}.jpg"), np.full((480, 640, 3), number, np.uint8))


def rows_of(folder: Path, count: int) -> list[IndexRow]:
    """Rows of that many pictures."""
    return [
        IndexRow(
            dataset="nyu",
            sample_id=f"{number:06d}",
            split="test",
            image=str(folder / f"{number % DIFFERENT}.jpg"),
            depth=str(folder / f"{number % DIFFERENT}.png"),
            depth_scale=0.001,
        )
        for number in range(count)
    ]


def ours(folder: Path, count: int) -> float:
    """Measures as `tr2m evaluate` does; AbsRel."""
    data = Dataset("nyu", rows_of(folder, count), load_protocol("release", "nyu"))
    evaluation = Evaluation([data], folder / "out", Options(pictures=False, kind="fixture"))
    evaluation.add_model(Instant())
    return evaluation.write()["instant"]["datasets"]["nyu"]["abs_rel"]


def pooled(folder: Path, count: int) -> float:
    """Keeps all pixels and measures once."""
    protocol, model = load_protocol("release", "nyu"), Instant()

    def pixels() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for row in rows_of(folder, count):
            picture = cv2.imread(row.image)[..., ::-1]
            yield protocol.compare(model.predict([picture], [])[0], load_depth(row))

    kept = list(pixels())
    return depth_metrics(*(np.concatenate(part) for part in zip(*kept, strict=True)))["abs_rel"]


def run(method: str, folder: Path, count: int) -> tuple[float, float, float]:
    """Seconds, growth of the peak memory in MB, and AbsRel, of a method in this process, after one picture."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    function = {"ours": ours, "pooled": pooled}[method]
    function(folder, 8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    value = function(folder, count)
    seconds = time.perf_counter() - start
    return seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, value


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000, help="(default: 1000)")
    count = parser.parse_args().images
    context = get_context("spawn")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_files(folder)
        found = {}
        for method, images in (("ours", count // 4), ("ours", count), ("pooled", count // 4)):
            with context.Pool(1) as pool:  # a process each, whose memory is its own
                found[method, images] = pool.apply(run, (method, folder, images))
            seconds, megabytes, _ = found[method, images]
            milliseconds = 1000 * seconds / images
            print(f"{method:7} {images:5} pictures: {milliseconds:5.1f} ms each, memory grew by {megabytes:7.1f} MB")
    few, many = found["ours", count // 4], found["ours", count]
    print(f"four times the pictures: {many[1] - few[1]:+.1f} MB")
    ratio = found["pooled", count // 4][1] / max(few[1], 1)
    print(f"keeping all pixels of {count // 4} pictures takes {ratio:.0f}x the memory of measuring one after another")


if __name__ == "__main__":
    main()
