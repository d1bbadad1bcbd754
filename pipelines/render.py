"""Stage `render`: pictures of the miniature world as array shards, with what its scene graph knows of them."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import active_children, forkserver, get_context
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pipelines.mini_world.domains import DOMAINS, Domain, Sample, render
from pipelines.mini_world.rooms import HALLWAYS, ROOMS, WAREHOUSES
from pipelines.params import Stage, run_stage
from tr2m_plugin.datasets.arrays import open_shard, write_shard
from tr2m_plugin.datasets.parquet import write_rows
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import IndexRow, ObjectRow, PictureRow, SceneRow
from tr2m_plugin.workers import end_with_parent

SMALLEST_OBJECT = 25
"""Pixels an object must show to be listed."""

WORLD_TABLES: dict[str, type[PictureRow]] = {"index": IndexRow, "scenes": SceneRow, "objects": ObjectRow}
"""What is said of every picture."""

_INDOOR = {*ROOMS, *HALLWAYS, *WAREHOUSES}


@dataclass(frozen=True)
class Chunk:
    """Consecutive pictures of one domain and split that go into one shard."""

    dataset: str
    split: str
    numbers: range

    @property
    def file(self) -> str:
        """Name of the shard."""
        return f"{self.dataset}-{self.split}-{self.numbers.start:06d}.safetensors"

    def sample_id(self, number: int) -> str:
        """Name of a picture."""
        return f"{self.split}-{number:06d}"


def plan(counts: dict[str, dict[str, int]], shard_size: int) -> list[Chunk]:
    """Divides the pictures to render into chunks.

    Args:
        counts: how many pictures of each split, by dataset.
        shard_size: pictures per shard.

    Raises:
        InputError: a dataset is unknown, or a zero-shot dataset has another split than test.
    """
    chunks = []
    for dataset, splits in counts.items():
        if dataset not in DOMAINS:
            raise InputError(f"the miniature world has no {dataset!r}; it has {', '.join(DOMAINS)}")
        if DOMAINS[dataset].zero_shot and set(splits) - {"test"}:
            raise InputError(f"{dataset} is a zero-shot dataset: it has a test split only")
        for split, count in splits.items():
            starts = range(0, count, shard_size)
            chunks += [Chunk(dataset, split, range(start, min(start + shard_size, count))) for start in starts]
    return chunks


def index_row(chunk: Chunk, number: int, domain: Domain, sample: Sample) -> IndexRow:
    """The picture's row of the index, with array references relative to the world's folder."""
    camera = sample.setting.scene.camera
    name = chunk.sample_id(number)
    return IndexRow(
        dataset=chunk.dataset,
        sample_id=name,
        split=chunk.split,
        domain=domain.group,
        image=f"{chunk.file}#{name}/image",
        depth=f"{chunk.file}#{name}/depth",
        depth_scale=1.0,
        unit=domain.unit,
        depth_min=domain.depth_range[0],
        depth_max=domain.depth_range[1],
        fx=camera.focal,
        fy=camera.focal,
        cx=(camera.width - 1) / 2,
        cy=(camera.height - 1) / 2,
    )


def object_rows(chunk: Chunk, number: int, sample: Sample) -> Iterator[ObjectRow]:
    """The visible objects, largest first."""
    labels, pixels = np.unique(sample.instance[sample.instance >= 0], return_counts=True)
    for i in np.argsort(-pixels, kind="stable"):
        if pixels[i] >= SMALLEST_OBJECT:
            yield ObjectRow(
                dataset=chunk.dataset,
                sample_id=chunk.sample_id(number),
                label=sample.names[labels[i]],
                area=pixels[i] / sample.instance.size,
            )


def scene_row(chunk: Chunk, number: int, sample: Sample) -> SceneRow:
    """What the picture's scene graph knows."""
    setting = sample.setting
    return SceneRow(
        dataset=chunk.dataset,
        sample_id=chunk.sample_id(number),
        place=setting.place,
        extent=setting.extent,
        detail=setting.detail,
        scale=setting.scale,
        indoor=setting.place in _INDOOR,
    )


def render_chunk(chunk: Chunk, folder: Path) -> None:
    """Renders a chunk into its shard, with its rows of index, scenes and objects in the metadata.

    Depth is stored in half precision, whose relative error is below 0.05 %. Nothing is returned: a worker that ends
    while it hands over something large would leave its parent waiting for the rest.
    """
    domain = DOMAINS[chunk.dataset]
    arrays: dict[str, np.ndarray] = {}
    rows: dict[str, list[PictureRow]] = {name: [] for name in WORLD_TABLES}
    for number in chunk.numbers:
        sample = render(chunk.dataset, chunk.split, number)
        name = chunk.sample_id(number)
        arrays[f"{name}/image"] = sample.image
        arrays[f"{name}/depth"] = sample.depth.astype(np.float16)
        rows["index"].append(index_row(chunk, number, domain, sample))
        rows["scenes"].append(scene_row(chunk, number, sample))
        rows["objects"].extend(object_rows(chunk, number, sample))
    metadata = {name: json.dumps([asdict(row) for row in found]) for name, found in rows.items()}
    write_shard(folder / chunk.file, arrays, metadata)


def read_chunk(chunk: Chunk, folder: Path, name: str) -> list[PictureRow]:
    """A rendered chunk's rows of one of `WORLD_TABLES`."""
    return [WORLD_TABLES[name](**row) for row in json.loads(open_shard(folder / chunk.file).metadata()[name])]


def start_server() -> None:
    """Starts the server that workers are forked from, deaf to interruptions, which they leave to their parent."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def stage(run: Stage) -> None:
    """Renders everything the parameters ask for, on all processors."""
    folder = run.root / "world"
    chunks = plan(run.params.get("datasets") or {}, run.count("shard_size", 128))
    shutil.rmtree(folder, ignore_errors=True)
    start_server()
    with (
        ProcessPoolExecutor(run.count("workers", None), get_context("forkserver"), end_with_parent) as pool,
        tqdm(total=sum(len(c.numbers) for c in chunks), unit="picture", desc="render", mininterval=1) as bar,
    ):
        try:
            jobs = [pool.submit(render_chunk, chunk, folder) for chunk in chunks]
            for job, chunk in zip(jobs, chunks, strict=True):
                job.result()
                bar.update(len(chunk.numbers))
        except BaseException:  # an interruption too ends the workers at once
            for worker in active_children():
                worker.kill()
            raise

    for name, kind in WORLD_TABLES.items():
        found = (row for chunk in chunks for row in read_chunk(chunk, folder, name))
        write_rows(folder / f"{name}.parquet", kind, found)


if __name__ == "__main__":
    run_stage("render", __doc__, stage)
