"""The engine of the expensive stages: rows in, shards of arrays or of table rows out, resumable and safe to kill.

A finished shard is never computed again; a run does only what is missing. Ray starts only when there is work, and
attaches to a cluster when RAY_ADDRESS is set; where it cannot start, this process works alone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from tqdm import tqdm

from pipelines.ray_session import ray_session
from pipelines.shards import (
    ARRAY_SUFFIX,
    TABLE_SUFFIX,
    Processor,
    Row,
    Settings,
    Shard,
    plan_shards,
    process_shard,
    shard_errors,
)
from tr2m_plugin.datasets.parquet import write_rows
from tr2m_plugin.device import pick_device
from tr2m_plugin.errors import InputError
from tr2m_plugin.files import sweep
from tr2m_plugin.rows import ErrorRow, PictureRow


def run_sharded(
    name: str,
    rows: Sequence[Row],
    make_processor: Callable[..., Processor],
    options: Mapping[str, Any],
    fingerprint: Any,
    folder: Path,
    settings: Settings,
    kind: type[PictureRow] | None = None,
    about: Mapping[str, str] | None = None,
) -> list[Path]:
    """Brings a folder of shards up to date with its rows.

    Writes `folder/*.safetensors`, one array per row named `dataset/sample_id`, or `folder/*.parquet`, rows of a table;
    and `folder/errors.parquet`. Shards of other settings or rows are removed once all of these are
    there. A second run on the same folder waits for the first.

    Args:
        name: name of the stage, for messages.
        rows: what to process.
        make_processor: makes a processor in each worker from `options` and `device`.
        options: keyword arguments of `make_processor`.
        fingerprint: everything beside the rows that the arrays depend on.
        folder: folder of the shards.
        settings: how to divide the work.
        kind: kind of the table's rows that the processor makes. Default: it makes arrays.
        about: kept in the metadata of errors.parquet. Default: nothing.

    Returns:
        The shards, in the order of the rows.

    Raises:
        InputError: more rows failed than `max_error_share` allows. The shards are complete nevertheless.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.parent / f".{folder.name}.lock")
    try:
        held = lock.acquire(timeout=0)
    except Timeout:
        print(f"{name}: another run is writing {folder}; waiting for it", file=sys.stderr)
        held = lock.acquire()
    with held:
        shards = plan_shards(rows, settings.shard_size, fingerprint, kind)
        missing = [shard for shard in shards if not (folder / shard.name).is_file()]
        total, open_rows = len(rows), sum(len(shard.rows) for shard in missing)
        print(f"{name}: {total} rows in {len(shards)} shards, {open_rows} rows in {len(missing)} shards to do")
        if missing:
            with tqdm(total=total, initial=total - open_rows, unit="row", desc=name, mininterval=_interval()) as bar:
                for done in _run(name, missing, make_processor, dict(options), folder, settings):
                    bar.update(done)
        remove_others(folder, {"errors.parquet", *(shard.name for shard in shards)})
        errors = [error for shard in shards for error in shard_errors(folder / shard.name)]
        write_rows(folder / "errors.parquet", ErrorRow, errors, about)
        for error in errors[:5]:
            print(f"{name}: {error.key}: {error.reason}", file=sys.stderr)
        if len(errors) > settings.max_error_share * total:
            raise InputError(f"{len(errors)} of {total} rows failed; {folder / 'errors.parquet'} says why")
    return [folder / shard.name for shard in shards]


def _interval() -> float:
    return 0.5 if sys.stderr.isatty() else 10.0


def remove_others(folder: Path, wanted: Collection[str] = ()) -> None:
    """Removes the shards and tables of a stage's folder that do not belong to what its section asks for now."""
    for path in folder.iterdir():
        if path.suffix in (ARRAY_SUFFIX, TABLE_SUFFIX) and path.name not in wanted:
            path.unlink()
    sweep(folder, alone=True)


def _run(
    name: str,
    shards: Sequence[Shard],
    make_processor: Callable[..., Processor],
    options: dict[str, Any],
    folder: Path,
    settings: Settings,
) -> Iterator[int]:
    if settings.workers != 0 and (len(shards) > 1 or os.environ.get("RAY_ADDRESS")):
        with ray_session(name) as there:
            if there:
                from pipelines.ray_engine import RayRun

                yield from RayRun(name, shards, make_processor, options, folder, settings)
                return
    processor = make_processor(**options, device=pick_device(settings.device))
    for shard in shards:
        yield from process_shard(processor, shard, folder, settings.batch_size)
