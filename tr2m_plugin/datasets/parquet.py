"""The tables that the pipeline's stages and the datasets share: their columns, and how to read and write them.

Every table names a picture by `dataset` and `sample_id`; tables are joined on these, never by position.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tr2m_plugin.errors import InputError, require
from tr2m_plugin.files import write_whole
from tr2m_plugin.rows import DescriptionRow, ErrorRow, IndexRow, ListedRow, PictureRow, SceneRow

if TYPE_CHECKING:
    import pyarrow as pa

Kind = TypeVar("Kind", bound=PictureRow)

CHUNK = 65536
"""Rows that are written together."""

COLUMN_TYPES = {"str": "string", "float": "double", "int": "int64", "bool": "bool", "Mapping[str, Any]": "string"}
"""Types of columns by those of a row's fields; mappings lie there as JSON."""

NARROW = {"variant": "int32"}
"""Columns that are narrower than others of their type."""


def columns_of(kind: type[PictureRow]) -> dict[str, str]:
    """Columns of the table of a kind of rows, in the order of its fields."""
    types = {one.name: COLUMN_TYPES[str(one.type).removesuffix(" | None")] for one in fields(kind)}
    return {name: NARROW.get(name, column) for name, column in types.items()}


TEXT_FEATURES: dict[str, str] = {"text": "string", "features": "list<float>"}
"""One row per distinct sentence."""

ROW_KINDS = (IndexRow, ListedRow, SceneRow, DescriptionRow, ErrorRow)

KNOWN = {name: kind for table in (*map(columns_of, ROW_KINDS), TEXT_FEATURES) for name, kind in table.items()}
"""Types of columns by name, which are the same in all tables."""

NEEDED = ("dataset", "sample_id", "text")
"""Columns that are never null."""


def _schema(columns: Mapping[str, str]) -> pa.Schema:
    pa = require("pyarrow", "to read and write tables", "data")
    types = {
        "string": pa.string(),
        "double": pa.float64(),
        "int32": pa.int32(),
        "int64": pa.int64(),
        "bool": pa.bool_(),
        "list<float>": pa.list_(pa.float32()),
    }
    return pa.schema([(name, types[kind]) for name, kind in columns.items()])


def write_table(
    path: str | os.PathLike,
    columns: Mapping[str, str],
    rows: Iterable[Mapping[str, Any]],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes rows as a Parquet file, whole or not at all.

    Args:
        path: file to write.
        columns: names and types; see `columns_of`.
        rows: a value per column; missing ones become null. They are taken and written in chunks, so that an iterator
            of any length needs little memory.
        metadata: kept in the file beside the columns. Default: none.

    Raises:
        InputError: a text or a name is not UTF-8.
    """
    pa = require("pyarrow", "to write tables", "data")
    schema, remaining = _schema(columns), iter(rows)
    schema = schema if metadata is None else schema.with_metadata(dict(metadata))
    chunks = iter(lambda: list(islice(remaining, CHUNK)), [])
    try:
        _write(path, schema, (pa.Table.from_pylist(chunk, schema=schema) for chunk in chunks))
    except UnicodeEncodeError as error:
        raise InputError(f"{path}: {error.object[:100]!a} is not UTF-8: rename it") from error


def _write(path: str | os.PathLike, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    pq = require("pyarrow.parquet", "to write tables", "data")
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)

    def write(partial: Path) -> None:
        with pq.ParquetWriter(partial, schema) as writer:
            for table in tables:
                writer.write_table(table)

    write_whole(target, write)


def read_table(path: str | os.PathLike, columns: Iterable[str]) -> list[dict[str, Any]]:
    """Reads columns of a Parquet file, whoever wrote it.

    Args:
        path: the file.
        columns: names; those of `KNOWN` must have their types.

    Raises:
        InputError: the file is missing, is no Parquet file, lacks a column or has it twice, a column has another type
            than it should, or names no picture or no sentence in some row; the message names file, column and row.
    """
    return _read(path, list(columns)).to_pylist()


def write_rows(
    path: str | os.PathLike,
    kind: type[PictureRow],
    rows: Iterable[PictureRow],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes rows of one kind as a Parquet file, whole or not at all; see `write_table`."""
    write_table(path, columns_of(kind), map(_stored, rows), metadata)


def read_rows(path: str | os.PathLike, kind: type[Kind]) -> list[Kind]:
    """Reads the table of a kind of rows.

    Raises:
        InputError: see `read_table`; or what should be JSON is none.
    """
    packed = [one.name for one in fields(kind) if one.type == "Mapping[str, Any]"]
    found = []
    for number, row in enumerate(read_table(path, columns_of(kind)), 1):
        for name in packed:
            row[name] = unpack(row[name], f"{path}: the column {name} in row {number}")
        found.append(kind(**row))
    return found


def pack(value: Mapping[str, Any]) -> str | None:
    """A mapping as it lies in a table: JSON, or None for an empty one."""
    return json.dumps(value, default=list) if value else None


def _stored(row: PictureRow) -> dict[str, Any]:
    return {name: pack(value) if isinstance(value, Mapping) else value for name, value in vars(row).items()}


def unpack(text: str | None, where: str) -> dict[str, Any]:
    """The mapping that lies as JSON in a table.

    Args:
        text: see `pack`.
        where: it lies, for messages.

    Raises:
        InputError: it is none.
    """
    try:
        found = {} if text is None else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} should be JSON and is {text!r:.60}: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{where} should be options by name and is {text!r:.60}")
    return found


def read_metadata(path: str | os.PathLike) -> dict[str, str]:
    """What `write_table` kept beside the columns."""
    pq = require("pyarrow.parquet", "to read tables", "data")
    found = pq.read_schema(path).metadata or {}
    return {key.decode(): value.decode() for key, value in found.items()}


def _read(path: str | os.PathLike, columns: list[str]) -> pa.Table:
    pq = require("pyarrow.parquet", "to read tables", "data")
    if not Path(path).is_file():
        raise InputError(f"{path} does not exist: run the stage that writes it (`dvc repro`), or correct the path")
    try:
        with pq.ParquetFile(path) as file:
            there = Counter(file.schema_arrow.names)
            missing = [name for name in columns if name not in there]
            twice = [name for name in columns if there[name] > 1]
            if missing:
                raise InputError(f"{path} lacks the columns {', '.join(missing)}")
            if twice:
                raise InputError(f"{path} has the column {twice[0]} twice: keep one of them")
            table = file.read(columns=columns)
    except InputError:
        raise
    except Exception as error:  # what a broken file makes of a decoder is anybody's guess
        raise InputError(f"{path} is not a readable Parquet file: {' '.join(str(error).split())}") from error
    return _checked(path, table.select(columns))


def _checked(path: str | os.PathLike, table: pa.Table) -> pa.Table:
    """A table whose known columns have their types, and whose needed ones have no gap."""
    pc = require("pyarrow.compute", "to read tables", "data")
    for number, name in enumerate(table.column_names):
        column = table[name]
        if name in KNOWN:
            wanted = _schema({name: KNOWN[name]}).field(0).type
            if not _goes_into(column.type, wanted):
                raise InputError(f"{path}: the column {name} holds {column.type}, not {wanted}")
            if column.type != wanted:
                column = column.cast(wanted)
                table = table.set_column(number, name, column)
        try:
            column.validate(full=True)
        except Exception as error:  # text that is no UTF-8
            raise InputError(f"{path}: the column {name} is damaged: {' '.join(str(error).split())}") from error
        if name in NEEDED and column.null_count:
            row = pc.index(column.is_null(), True).as_py() + 1
            raise InputError(f"{path}: the column {name} is empty in row {row} ({column.null_count} such rows)")
    return table


def _goes_into(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a type's values are those of another without loss of meaning."""
    types = require("pyarrow.types", "to read tables", "data")
    if found == wanted or types.is_null(found):
        return True
    if types.is_dictionary(found):
        return _goes_into(found.value_type, wanted)
    if types.is_string(wanted):
        return types.is_large_string(found) or str(found) == "string_view"
    if types.is_integer(wanted):
        return types.is_integer(found)
    if types.is_floating(wanted):
        return types.is_integer(found) or types.is_floating(found)
    return types.is_list(wanted) and types.is_large_list(found)


def write_text_features(
    path: str | os.PathLike, texts: Sequence[str], features: np.ndarray, metadata: Mapping[str, str] = {}
) -> None:
    """Writes the table of sentences and their embeddings, (N, T) float32, without a Python object per number."""
    pa = require("pyarrow", "to write tables", "data")
    offsets = np.arange(0, features.size + 1, features.shape[1], dtype=np.int32)
    lists = pa.ListArray.from_arrays(offsets, np.ascontiguousarray(features, np.float32).reshape(-1))
    schema = _schema(TEXT_FEATURES).with_metadata(dict(metadata))
    _write(path, schema, [pa.table([pa.array(texts, pa.string()), lists], schema=schema)])


def read_text_features(path: str | os.PathLike) -> tuple[dict[str, int], np.ndarray]:
    """Reads the table of sentences: the row of each, and their embeddings, (N, T) float32.

    Raises:
        InputError: see `read_table`; or the embeddings differ in length.
    """
    table = _read(path, list(TEXT_FEATURES))
    chunks = [chunk for chunk in table["features"].chunks if len(chunk)]
    lengths = {int(n) for chunk in chunks for n in np.unique(chunk.value_lengths().to_numpy())}
    if len(lengths) > 1:
        raise InputError(f"{path} holds embeddings of different lengths: run the stage embed_text again")
    rows = {text: row for row, text in enumerate(table["text"].to_pylist())}
    numbers = [chunk.flatten().to_numpy() for chunk in chunks] or [np.zeros(0, np.float32)]
    return rows, np.concatenate(numbers).reshape(table.num_rows, *lengths or {0})


def dataset_names(given: str | Sequence[str] | None) -> list[str]:
    """Names of datasets, given as a list or as one name, of which letters would be looked for; none: all datasets.

    Raises:
        InputError: they are something else.
    """
    names = [given] if isinstance(given, str) else [] if given is None else given
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise InputError(f"datasets must be a list of names, not {given!r:.100}")
    return list(names)


def sample_key(row: Mapping[str, Any]) -> str:
    """The name of a picture in array shards: dataset and sample id."""
    return f"{row['dataset']}/{row['sample_id']}"


def check_unique(rows: Sequence[PictureRow], path: str | os.PathLike) -> None:
    """Raises an InputError that names the first picture listed twice."""
    seen: set[str] = set()
    for row in rows:
        if row.key in seen:
            raise InputError(f"{path} lists {row.key} twice: sample ids must be unique inside their dataset")
        seen.add(row.key)
