"""Pictures of the miniature world per second, on all processors and on one.

python -m benchmarks.render
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from pipelines.mini_world.domains import DOMAINS
from pipelines.render import Chunk, render_chunk
from tr2m_plugin.workers import end_with_parent


def rate(workers: int, count: int) -> float:
    """Pictures per second, written to shards, without the start of the processes."""
    chunks = [
        Chunk(name, "benchmark", range(start, start + 20)) for start in range(0, count, 20) for name in sorted(DOMAINS)
    ]
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(workers, get_context("forkserver"), initializer=end_with_parent) as pool,
    ):
        list(pool.map(render_chunk, chunks[:workers], [Path(folder)] * workers))
        began = time.perf_counter()
        list(pool.map(render_chunk, chunks, [Path(folder)] * len(chunks)))
        return sum(len(chunk.numbers) for chunk in chunks) / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--count", type=int, default=100, help="pictures per domain")
    args = parser.parse_args()
    many, one = rate(args.workers, args.count), rate(1, args.count)
    print(f"{args.workers} processes {many:.0f} pictures/s  one process {one:.0f} pictures/s  ratio {many / one:.2f}")


if __name__ == "__main__":
    main()
