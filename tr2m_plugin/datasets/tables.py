"""The tables that the pipeline's stages and the datasets share: their columns, and how to read and write them.

Every table names a picture by `dataset` and `sample_id`; tables are joined on these, never by position.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tr2m_plugin.errors import InputError, require

if TYPE_CHECKING:
    import pyarrow as pa

INDEX: dict[str, str] = {
    "dataset": "string",  # name of the dataset
    "sample_id": "string",  # unique inside its dataset
    "split": "string",  # train, val or test
    "domain": "string",  # indoor, outdoor, surgical, ...: what a wrong-domain description differs in
    "image": "string",  # file or array reference, relative to the table's folder
    "depth": "string",  # file or array reference; null without ground truth
    "depth_scale": "double",  # from stored numbers to the unit
    "unit": "string",  # of depth: m or mm
    "depth_min": "double",  # depths outside these two are not evaluated
    "depth_max": "double",
    "fx": "double",  # intrinsics in pixels; null where unknown
    "fy": "double",
    "cx": "double",
    "cy": "double",
}
"""One row per picture."""

OBJECTS: dict[str, str] = {
    "dataset": "string",
    "sample_id": "string",
    "label": "string",  # name of an object
    "area": "double",  # share of the picture it covers
}
"""One row per visible object, the largest of a picture first."""

SCENES: dict[str, str] = {
    "dataset": "string",
    "sample_id": "string",
    "place": "string",  # name of the place
    "extent": "double",  # what makes it small or large, in its original's unit
    "detail": "string",
    "scale": "double",  # below one for miniatures
    "indoor": "bool",
}
"""What a scene graph knows of a rendered picture."""

DESCRIPTIONS: dict[str, str] = {
    "dataset": "string",
    "sample_id": "string",
    "source": "string",  # who says it: scene, objects, template, text_file, sentence, ...
    "variant": "int32",  # counts a source's sentences from 0
    "text": "string",
    "model": "string",  # what made it
    "seed": "int64",
}
"""One row per sentence; the first row of a picture is the one used in evaluation."""

ERRORS: dict[str, str] = {
    "dataset": "string",
    "sample_id": "string",
    "reason": "string",
}
"""Pictures that a stage could not process."""

TEXT_FEATURES: dict[str, str] = {"text": "string", "features": "list<float>"}
"""One row per distinct sentence."""


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


def write_table(path: str | os.PathLike, columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes rows as a Parquet file, whole or not at all.

    Args:
        path: file to write.
        columns: names and types, one of the dictionaries of this module.
        rows: a value per column; missing ones become null.
    """
    schema = _schema(columns)
    pa, pq = require("pyarrow", "to write tables", "data"), require("pyarrow.parquet", "to write tables", "data")
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), partial)
    os.replace(partial, target)


def read_table(path: str | os.PathLike, columns: Mapping[str, str]) -> list[dict[str, Any]]:
    """Reads a Parquet file that `write_table` wrote.

    Raises:
        InputError: the file is missing, is no Parquet file or lacks a column.
    """
    pq = require("pyarrow.parquet", "to read tables", "data")
    if not Path(path).is_file():
        raise InputError(f"{path} does not exist: run the stage that writes it (`dvc repro`), or correct the path")
    try:
        table = pq.read_table(path)
    except Exception as error:
        raise InputError(f"{path} is not a readable Parquet file: {error}") from error
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise InputError(f"{path} lacks the columns {', '.join(missing)}")
    return table.select(list(columns)).to_pylist()


def sample_key(row: Mapping[str, Any]) -> str:
    """The name of a picture in array shards: dataset and sample id."""
    return f"{row['dataset']}/{row['sample_id']}"


def check_unique(rows: Sequence[Mapping[str, Any]], path: str | os.PathLike) -> None:
    """Raises an InputError that names the first picture listed twice."""
    seen: set[str] = set()
    for row in rows:
        key = sample_key(row)
        if key in seen:
            raise InputError(f"{path} lists {key} twice: sample ids must be unique inside their dataset")
        seen.add(key)
