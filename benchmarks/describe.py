"""The Ray job that describes pictures against a plain loop over the same model; and batches against one by one.

    python -m benchmarks.describe --pictures 240

The model is a small LLaVA with random weights, built here: what is measured is the engine, not the model. Each way is
run on a third of the pictures and on all of them, and the difference counts: starting Ray and loading the model in each
worker, seconds that do not grow with the number of pictures, are printed apart. The ideal is the loop's time over the
number of workers.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.tiny_llava import save_llava
from pipelines import describe
from pipelines.params import Stage
from tr2m_plugin.datasets.arrays import read_image
from tr2m_plugin.datasets.parquet import write_rows
from tr2m_plugin.description.llava import LlavaDescriber
from tr2m_plugin.rows import IndexRow

PROMPTS = ("Describe the image in one sentence.", "Express the image in just one sentence.")


def pictures(root: Path, count: int) -> list[str]:
    """Pictures and their index."""
    rng = np.random.default_rng(0)
    (root / "pictures").mkdir(parents=True)
    files = [str(root / "pictures" / f"{i:04d}.jpg") for i in range(count)]
    for file in files:
        cv2.imwrite(file, rng.integers(0, 256, (120, 160, 3), np.uint8))
    rows = [IndexRow(dataset="d", sample_id=Path(file).stem, split="train", image=file) for file in files]
    write_rows(root / "index.parquet", IndexRow, rows)
    return files


def seconds(action: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def job(root: Path, model: str, workers: int, batch: int) -> None:
    """The stage `describe` on an index."""
    engine = {"workers": workers, "device": "cpu", "shard_size": 10, "batch_size": batch}
    options = {"model": model, "prompts": PROMPTS, "max_new_tokens": 24, "batch_size": batch * len(PROMPTS)}
    describe.stage(Stage("benchmark", {"type": "Llava", "engine": engine, **options}, root, "llava_vicuna"))


def loop(describer: LlavaDescriber, files: list[str], batch: int) -> None:
    """What one would write without an engine."""
    for start in range(0, len(files), batch):
        part = files[start : start + batch]
        rows = [{"dataset": "d", "sample_id": file} for file in part]
        describer.describe(rows, [read_image(file) for file in part])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=240)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=5, help="pictures at a time (default: 5)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        model = str(Path(folder) / "llava")
        save_llava(model, "vicuna", width=256, layers=8)
        roots = [Path(folder) / name for name in ("few", "all")]
        few, everything = pictures(roots[0], args.pictures // 3), pictures(roots[1], args.pictures)
        more = len(everything) - len(few)
        describer = LlavaDescriber(
            model, PROMPTS, batch_size=args.batch * len(PROMPTS), max_new_tokens=24, device="cpu"
        )
        plain = seconds(lambda: loop(describer, everything, args.batch)) - seconds(
            lambda: loop(describer, few, args.batch)
        )
        single = seconds(lambda: loop(describer, few, 1))
        batched = seconds(lambda: loop(describer, few, args.batch))
        times = [seconds(lambda root=root: job(root, model, args.workers, args.batch)) for root in roots]
    ours, ideal = times[1] - times[0], plain / args.workers
    start = times[0] - ours * len(few) / more
    print(f"plain loop, one process: {more / plain:.1f} pictures/s; split over {args.workers}: {more / ideal:.1f}")
    print(
        f"Ray job, {args.workers} workers: {more / ours:.1f} pictures/s, {ours / ideal:.2f} times the ideal's time, "
        f"after {start:.0f} s of starting"
    )
    print(f"{args.batch} pictures at a time against one by one: {single / batched:.2f} times as fast")


if __name__ == "__main__":
    main()
