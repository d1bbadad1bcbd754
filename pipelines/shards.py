"""Shards: rows that are computed and written together, as arrays or as rows of a table.

A shard's file name carries a hash of the settings and of its rows, and the file is renamed into place when it is whole.
A row that fails becomes an entry in the shard's error list, never a lost run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from pipelines.params import digest
from tr2m_plugin.datasets.arrays import open_shard, write_shard
from tr2m_plugin.datasets.parquet import read_metadata, sample_key, write_rows
from tr2m_plugin.errors import InputError, ServiceError
from tr2m_plugin.rows import ErrorRow, PictureRow
from tr2m_plugin.trusted import check_options

ARRAY_SUFFIX, TABLE_SUFFIX = ".safetensors", ".parquet"
"""What shards are: an array per row, or rows of a table."""


Row = dict[str, Any]
"""What is to be computed, by `dataset` and `sample_id` and whatever else its result depends on, as JSON can hold it."""


class Processor(Protocol):
    """What a stage supplies; made once per worker."""

    def load(self, row: Row) -> Any:
        """Reads one row's picture; runs in threads, ahead of the network."""

    def compute(self, items: list[Any]) -> list[Any]:
        """Runs the network on a batch; per item an array, the list of the table's rows that it makes, or a `Failure`.

        Raises:
            ServiceError: no item can be done; the run ends. Any other error is taken for that of an item.
        """


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
        device: device of the network: "auto", "cpu", "cuda". Default: auto.
        max_error_share: a run whose share of failed rows exceeds this fails in the end. Default: 0.01.
        stall_seconds: a worker that finishes no batch for so long is stopped, and its shard goes to another; give more
            where a batch takes longer. Default: 1800.

    Raises:
        InputError: a size is not above 0: nothing would be done, and what was done removed.
    """

    shard_size: int = 256
    batch_size: int = 32
    workers: int | None = None
    cpus_per_worker: int = 1
    gpus_per_worker: float | None = None
    device: str = "auto"
    max_error_share: float = 0.01
    stall_seconds: float = 1800

    def __post_init__(self) -> None:
        for name in ("shard_size", "batch_size", "cpus_per_worker", "stall_seconds"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name} must be above 0, not {getattr(self, name)}")


def settings_of(params: Mapping[str, Any], place: str) -> Settings:
    """The settings that a section of the parameters gives.

    Args:
        params: options of `Settings`.
        place: where they stand, for messages.

    Raises:
        InputError: an option is unknown, or no value for it.
    """
    check_options(Settings, {name: value for name, value in params.items() if name != "device"}, place)
    if not isinstance(params.get("device", "auto"), str):
        raise InputError(f"{place}.device must be text, not {params['device']!r:.100}")
    try:
        return Settings(**params)
    except InputError as error:
        raise InputError(f"{place}.{error}") from error


@dataclass(frozen=True)
class Shard:
    """Rows that are computed and written together, as arrays or as rows of a table of this kind."""

    name: str
    rows: tuple[Row, ...]
    kind: type[PictureRow] | None = None


def plan_shards(
    rows: Sequence[Row], shard_size: int, fingerprint: Any, kind: type[PictureRow] | None = None
) -> list[Shard]:
    """Divides rows into shards named by number and by a hash of their rows and the fingerprint.

    Args:
        rows: rows with `dataset` and `sample_id`, in a stable order.
        shard_size: rows per shard.
        fingerprint: everything else the result depends on, as JSON can hold it.
        kind: kind of the table's rows that the processor makes. Default: it makes arrays.
    """
    suffix = TABLE_SUFFIX if kind else ARRAY_SUFFIX
    shards = []
    for number, start in enumerate(range(0, len(rows), shard_size)):
        part = tuple(rows[start : start + shard_size])
        shards.append(Shard(f"{number:05d}-{digest([fingerprint, part])}{suffix}", part, kind))
    return shards


@dataclass(frozen=True)
class Failure:
    """What stands in for the result of a row that has none."""

    reason: str


Outcome = tuple[Row, Any]
"""A row and its result, or its `Failure`."""


def process_rows(processor: Processor, rows: Sequence[Row], batch_size: int) -> Iterator[list[Outcome]]:
    """Computes rows in batches; what a bad row does to a decoder or a network is its own failure."""

    def load(row: Row) -> Any:
        try:
            return processor.load(row)
        except Exception as error:
            return _failure(error)

    threads = ThreadPoolExecutor(2)
    try:
        loaded = zip(rows, threads.map(load, rows), strict=True)
        while batch := list(islice(loaded, batch_size)):
            results = iter(_compute(processor, [item for _, item in batch if not isinstance(item, Failure)]))
            yield [(row, item if isinstance(item, Failure) else next(results)) for row, item in batch]
    finally:
        threads.shutdown(cancel_futures=True)


def _compute(processor: Processor, items: list[Any]) -> list[Any]:
    if not items:
        return []
    try:
        return [result for _, result in zip(items, processor.compute(items), strict=True)]
    except ServiceError:
        raise
    except Exception as error:
        if len(items) == 1:
            return [_failure(error)]
        return [result for item in items for result in _compute(processor, [item])]  # one must not cost its batch


def _failure(error: Exception) -> Failure:
    return Failure(str(error) or repr(error))


def process_shard(processor: Processor, shard: Shard, folder: Path, batch_size: int) -> Iterator[int]:
    """Computes a shard and writes it; gives the number of rows of every batch as it is done."""
    outcomes: list[Outcome] = []
    for batch in process_rows(processor, shard.rows, batch_size):
        outcomes += batch
        yield len(batch)
    save_shard(shard, outcomes, folder)


def save_shard(shard: Shard, outcomes: Sequence[Outcome], folder: Path) -> None:
    """Writes a shard; the failed rows go into its metadata."""
    results = {sample_key(row): result for row, result in outcomes if not isinstance(result, Failure)}
    errors = [
        {"dataset": row["dataset"], "sample_id": row["sample_id"], "reason": result.reason}
        for row, result in outcomes
        if isinstance(result, Failure)
    ]
    path, metadata = folder / shard.name, {"errors": json.dumps(errors)}
    if shard.kind is None:
        write_shard(path, results, metadata)
    else:
        write_rows(path, shard.kind, (row for rows in results.values() for row in rows), metadata)


def shard_errors(path: Path) -> list[ErrorRow]:
    """The failed rows that a shard's metadata lists."""
    metadata = read_metadata(path) if path.suffix == TABLE_SUFFIX else open_shard(path).metadata() or {}
    return [ErrorRow(**error) for error in json.loads(metadata.get("errors", "[]"))]
