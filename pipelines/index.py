"""Stage `index`: one table of all pictures of all datasets."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.params import Stage, run_stage
from tr2m_plugin.benchmark.datasets import index_dataset
from tr2m_plugin.benchmark.pairs import look, refuse_empty
from tr2m_plugin.datasets.parquet import check_unique, read_rows, write_rows
from tr2m_plugin.datasets.readers import READERS
from tr2m_plugin.errors import InputError
from tr2m_plugin.evaluation import protocol_of
from tr2m_plugin.rows import ErrorRow, IndexRow

SHOWN = 5
"""The most pictures left out that are named."""


def index_mini_world(profile: Path, options: dict[str, Any]) -> list[IndexRow]:
    """Rows of the rendered world, its references made relative to the profile's folder."""
    if options:
        raise InputError(f"MiniWorld takes no options, not {', '.join(options)}: what is rendered is set in `render`")
    rows = read_rows(profile / "world" / "index.parquet", IndexRow)
    return [replace(row, image=f"world/{row.image}", depth=f"world/{row.depth}") for row in rows]


def index_entry(entry: dict[str, Any], profile: Path, protocol: str) -> list[IndexRow]:
    """Rows of one entry of the parameters; none, with a word, where a published dataset has no root."""
    if entry.get("type") == "MiniWorld":
        return index_mini_world(profile, {name: value for name, value in entry.items() if name != "type"})
    if entry.get("type") in READERS and not entry.get("root"):
        print(f"index: {entry['type']} is left out, since it has no root")
        return []
    try:
        return index_dataset(entry, protocol)
    except InputError as error:
        raise InputError(f"index.datasets: {error}") from error


def look_at(rows: Sequence[IndexRow], root: Path) -> list[ErrorRow]:
    """The pairs of a dataset that cannot be used, with the reason; says what its depth is like.

    Raises:
        InputError: no pixel of its depth counts.
    """
    name = rows[0].dataset
    if all(row.depth is None for row in rows):
        return []
    protocol = protocol_of(rows[0])
    found = look([row.resolved(root) for row in rows], protocol, name)
    errors = [ErrorRow(dataset=name, sample_id=sample, reason=reason) for sample, reason in found.failed.items()]
    for error in errors[:SHOWN]:
        print(f"index: {error.key} is left out: {error.reason}", file=sys.stderr)
    refuse_empty(found, rows[0], protocol, name)
    print(f"index: {name}: {found.summary}")
    return errors


def stage(run: Stage) -> None:
    """Reads every dataset listed in the parameters, and looks at their depth."""
    entries = run.params.get("datasets") or []
    protocol = run.params.get("protocol", "release")
    rows = [row for entry in entries for row in index_entry(dict(entry), run.root, protocol)]
    if not rows:
        raise InputError("index.datasets lists no dataset with pictures: give one a root")
    check_unique(rows, "the index")
    names = dict.fromkeys(row.dataset for row in rows)
    errors = {name: look_at([row for row in rows if row.dataset == name], run.root) for name in names}
    write_rows(run.root / "index_errors.parquet", ErrorRow, (error for found in errors.values() for error in found))
    bad = {error.key for found in errors.values() for error in found}
    all_of, most = Counter(row.dataset for row in rows), run.share("max_error_share", 0.2)
    for name, found in errors.items():
        if len(found) > most * all_of[name]:
            raise InputError(
                f"{len(found)} of {all_of[name]} pairs of {name} cannot be used, more than max_error_share {most:g}; "
                f"{run.root / 'index_errors.parquet'} says why, such as {found[0].reason}"
            )
    rows = [row for row in rows if row.key not in bad]
    write_rows(run.root / "index.parquet", IndexRow, rows)
    counts = Counter(f"{row.dataset}/{row.split}" for row in rows)
    print(f"index: {len(rows)} pictures ({', '.join(f'{k} {v}' for k, v in counts.items())})")


if __name__ == "__main__":
    run_stage("index", __doc__, stage)
