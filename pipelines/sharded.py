"""The Ray engine of the expensive stages: rows in, shards of arrays or of table rows out, resumable and safe to kill.

Rows are divided into shards whose file names carry a hash of the settings and of their rows. A finished shard is
renamed into place and never computed again; a run does only what is missing. A row that fails becomes an entry in
the shard's error list, never a lost run. Ray starts only when there is work, attaches to a cluster when RAY_ADDRESS is
set, and replaces workers that die.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout
from tqdm import tqdm

from pipelines.params import digest
from tr2m_plugin.datasets.arrays import open_shard, write_shard
from tr2m_plugin.datasets.tables import ERRORS, read_metadata, sample_key, write_table
from tr2m_plugin.device import pick_device
from tr2m_plugin.errors import InputError
from tr2m_plugin.files import sweep

Row = dict[str, Any]
ARRAYS, TABLES = ".safetensors", ".parquet"
"""What shards are: an array per row, or rows of a table."""


class Processor(Protocol):
    """What a stage supplies; made once per worker."""

    def load(self, row: Row) -> Any:
        """Reads one row's picture; runs in threads, ahead of the network."""

    def compute(self, items: list[Any]) -> list[Any]:
        """Runs the network on a batch; per item an array, or the rows of a table that it makes."""


@dataclass(frozen=True)
class Settings:
    """How a stage's work is divided.

    Args:
        shard_size: rows per shard. Default: 256.
        batch_size: rows per batch of the network. Default: 32.
        workers: worker processes; 0 works in this process without Ray, as a single shard always does unless a cluster
            is given. Default: one per GPU, or per `cpus_per_worker` processors without.
        cpus_per_worker: processors, and threads of torch, of a worker. Default: 1.
        gpus_per_worker: GPUs of a worker. Default: 1 where there are GPUs and `device` is not "cpu", else 0.
        device: of the network: "auto", "cpu", "cuda". Default: auto.
        max_error_share: a run whose share of failed rows exceeds this fails in the end. Default: 0.01.
    """

    shard_size: int = 256
    batch_size: int = 32
    workers: int | None = None
    cpus_per_worker: int = 1
    gpus_per_worker: float | None = None
    device: str = "auto"
    max_error_share: float = 0.01


@dataclass(frozen=True)
class Shard:
    """Rows that are computed and written together, as arrays or as rows of a table with these columns."""

    name: str
    rows: tuple[Row, ...]
    columns: Mapping[str, str] | None = None


def plan_shards(
    rows: Sequence[Row], shard_size: int, fingerprint: Any, columns: Mapping[str, str] | None = None
) -> list[Shard]:
    """Divides rows into shards named by number and by a hash of their rows and the fingerprint.

    Args:
        rows: rows with `dataset` and `sample_id`, in a stable order.
        shard_size: rows per shard.
        fingerprint: everything else the result depends on, as JSON can hold it.
        columns: of the table that the processor makes rows of. Default: it makes arrays.
    """
    suffix = TABLES if columns else ARRAYS
    shards = []
    for number, start in enumerate(range(0, len(rows), shard_size)):
        part = tuple(rows[start : start + shard_size])
        shards.append(Shard(f"{number:05d}-{digest([fingerprint, part])}{suffix}", part, columns))
    return shards


def process_shard(processor: Processor, shard: Shard, folder: Path, batch_size: int) -> tuple[int, int]:
    """Computes a shard and writes it; the failed rows go into its metadata.

    Returns:
        How many rows succeeded and how many failed.
    """
    results: dict[str, Any] = {}
    errors: list[Row] = []

    def load(row: Row) -> Any:
        try:
            return processor.load(row)
        except Exception as error:  # whatever a bad file does to a decoder, the run goes on
            return error

    def fail(row: Row, error: Exception) -> None:
        errors.append({"dataset": row["dataset"], "sample_id": row["sample_id"], "reason": str(error) or repr(error)})

    with ThreadPoolExecutor(2) as threads:
        loaded = zip(shard.rows, threads.map(load, shard.rows), strict=True)
        for batch in _batches(loaded, batch_size):
            good = [(row, item) for row, item in batch if not isinstance(item, Exception)]
            for row, item in batch:
                if isinstance(item, Exception):
                    fail(row, item)
            for row, result in _compute(processor, good):
                if isinstance(result, Exception):
                    fail(row, result)
                else:
                    results[sample_key(row)] = result
    path, metadata = folder / shard.name, {"errors": json.dumps(errors)}
    if shard.columns is None:
        write_shard(path, results, metadata)
    else:
        write_table(path, shard.columns, (row for rows in results.values() for row in rows), metadata)
    return len(results), len(errors)


def _batches(pairs: Iterator[tuple[Row, Any]], size: int) -> Iterator[list[tuple[Row, Any]]]:
    batch: list[tuple[Row, Any]] = []
    for pair in pairs:
        batch.append(pair)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _compute(processor: Processor, batch: list[tuple[Row, Any]]) -> Iterator[tuple[Row, Any]]:
    if not batch:
        return
    try:
        results: list[Any] = processor.compute([item for _, item in batch])
    except Exception as error:
        if len(batch) == 1:
            yield batch[0][0], error
            return
        for pair in batch:  # one bad picture must not cost its batch
            yield from _compute(processor, [pair])
        return
    for (row, _), result in zip(batch, results, strict=True):
        yield row, result


def run_sharded(
    name: str,
    rows: Sequence[Row],
    make_processor: Callable[..., Processor],
    options: Mapping[str, Any],
    fingerprint: Any,
    folder: Path,
    settings: Settings,
    columns: Mapping[str, str] | None = None,
) -> list[Path]:
    """Brings a folder of shards up to date with its rows.

    Writes `folder/*.safetensors`, one array per row named `dataset/sample_id`, or `folder/*.parquet`, rows of a table;
    and `folder/errors.parquet`. Shards of other settings or rows are removed once all of these are
    there. A second run on the same folder waits for the first.

    Args:
        name: of the stage, for messages.
        rows: what to process.
        make_processor: makes a processor in each worker from `options` and `device`.
        options: keyword arguments of `make_processor`.
        fingerprint: everything beside the rows that the arrays depend on.
        folder: of the shards.
        settings: how to divide the work.
        columns: of the table that the processor makes rows of. Default: it makes arrays.

    Returns:
        The shards, in the order of the rows.

    Raises:
        InputError: more rows failed than `max_error_share` allows. The shards are complete nevertheless.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.parent / f".{folder.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"{name}: another run is writing {folder}; waiting for it", file=sys.stderr)
        lock.acquire()
    with lock:
        shards = plan_shards(rows, settings.shard_size, fingerprint, columns)
        missing = [shard for shard in shards if not (folder / shard.name).is_file()]
        total, open_rows = len(rows), sum(len(shard.rows) for shard in missing)
        print(f"{name}: {total} rows in {len(shards)} shards, {open_rows} rows in {len(missing)} shards to do")
        if missing:
            with tqdm(total=total, initial=total - open_rows, unit="row", desc=name, mininterval=_interval()) as bar:
                for done in _run(missing, make_processor, dict(options), folder, settings):
                    bar.update(done)
        _tidy(folder, shards)
        errors = [error for shard in shards for error in shard_errors(folder / shard.name)]
        write_table(folder / "errors.parquet", ERRORS, errors)
        for error in errors[:5]:
            print(f"{name}: {error['dataset']}/{error['sample_id']}: {error['reason']}", file=sys.stderr)
        if len(errors) > settings.max_error_share * total:
            raise InputError(f"{len(errors)} of {total} rows failed; {folder / 'errors.parquet'} says why")
    return [folder / shard.name for shard in shards]


def shard_errors(path: Path) -> list[Row]:
    """The failed rows that a shard's metadata lists."""
    metadata = read_metadata(path) if path.suffix == TABLES else open_shard(path).metadata() or {}
    return json.loads(metadata.get("errors", "[]"))


def _interval() -> float:
    return 0.5 if sys.stderr.isatty() else 10.0


def _tidy(folder: Path, shards: Sequence[Shard]) -> None:
    wanted = {"errors.parquet", *(shard.name for shard in shards)}
    for path in folder.iterdir():
        if path.suffix in (ARRAYS, TABLES) and path.name not in wanted:
            path.unlink()
    sweep(folder, alone=True)


def _run(
    shards: Sequence[Shard],
    make_processor: Callable[..., Processor],
    options: dict[str, Any],
    folder: Path,
    settings: Settings,
) -> Iterator[int]:
    if settings.workers == 0 or (len(shards) == 1 and not os.environ.get("RAY_ADDRESS")):
        processor = make_processor(**options, device=pick_device(settings.device))
        for shard in shards:
            process_shard(processor, shard, folder, settings.batch_size)
            yield len(shard.rows)
        return
    yield from _run_on_ray(shards, make_processor, options, folder, settings)


class _Worker:
    """A Ray actor that holds a processor."""

    def __init__(self, make_processor: Callable[..., Processor], options: dict[str, Any], settings: Settings) -> None:
        import torch

        torch.set_num_threads(settings.cpus_per_worker)
        self.processor = make_processor(**options, device=pick_device(settings.device))
        self.batch_size = settings.batch_size

    def process(self, shard: Shard, folder: Path) -> int:
        """Computes one shard."""
        process_shard(self.processor, shard, folder, self.batch_size)
        return len(shard.rows)


def _run_on_ray(
    shards: Sequence[Shard],
    make_processor: Callable[..., Processor],
    options: dict[str, Any],
    folder: Path,
    settings: Settings,
) -> Iterator[int]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    started = not ray.is_initialized()
    if started and os.environ.get("RAY_ADDRESS"):
        try:
            ray.init(log_to_driver=False)
        except ConnectionError as error:
            raise InputError(
                f"no Ray cluster answers at RAY_ADDRESS={os.environ['RAY_ADDRESS']}: is it running, and are its token "
                f"and RAY_AUTH_MODE the same here? ({error})"
            ) from error
    elif started:
        ray.init(
            address="local",
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=False,
            object_store_memory=256 * 1024**2,
        )
    try:
        resources = ray.cluster_resources()
        gpus = settings.gpus_per_worker
        if gpus is None:
            gpus = 1.0 if settings.device != "cpu" and resources.get("GPU", 0) >= 1 else 0.0
        room = resources["GPU"] / gpus if gpus else resources["CPU"] / settings.cpus_per_worker
        count = min(settings.workers or max(int(room), 1), len(shards))
        actor = ray.remote(_Worker).options(
            num_cpus=settings.cpus_per_worker, num_gpus=gpus, max_restarts=3, max_task_retries=2
        )
        workers = [actor.remote(make_processor, options, settings) for _ in range(count)]
        queue = list(reversed(shards))
        running = {worker.process.remote(queue.pop(), folder): worker for worker in workers}
        while running:
            (ready,), _ = ray.wait(list(running), num_returns=1)
            worker = running.pop(ready)
            yield ray.get(ready)
            if queue:
                running[worker.process.remote(queue.pop(), folder)] = worker
    finally:
        if started:
            ray.shutdown()
