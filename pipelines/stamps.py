"""What a picture's results depend on, in the names of shards: which picture it is, and the state of its file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pipelines.params import digest_files
from tr2m_plugin.datasets.arrays import is_reference
from tr2m_plugin.datasets.parquet import pack, unpack
from tr2m_plugin.rows import IndexRow


def picture_stamp(row: IndexRow, root: Path) -> dict[str, Any]:
    """What a row's result depends on: its picture, as `file_stamp` tells its state."""
    kept: dict[str, Any] = {name: getattr(row, name) for name in ("dataset", "sample_id", "image")}
    if row.reader:
        kept |= {"reader": row.reader, "extras": pack(row.extras)}
    stamp = file_stamp(row.image, root)
    return {**kept, "stamp": stamp} if stamp else kept


def stamped_row(stamp: Mapping[str, Any], root: Path) -> IndexRow:
    """What `picture_stamp` kept of a row, to load its picture by."""
    known = {name: stamp.get(name) for name in ("dataset", "sample_id", "image", "reader")}
    extras = unpack(stamp.get("extras"), "the extras of a picture")
    return IndexRow(split="", extras=extras, **known).resolved(root)  # type: ignore[arg-type]


def file_stamp(source: str, root: Path) -> list[Any]:
    """What tells whether a source has changed: a file's size and time, or the content of the shard that holds an array.

    Shards are made anew by the stage before, with the same size whatever they hold; empty for what is no file.
    """
    path = root / (source.partition("#")[0] if is_reference(source) else source)
    if not path.is_file():
        return []
    stat = path.stat()
    return [_content(path, stat.st_mtime_ns)] if is_reference(source) else [stat.st_size, stat.st_mtime_ns]


@cache
def _content(path: Path, changed: int) -> str:
    return digest_files([path])
