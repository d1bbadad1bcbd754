"""Stage `index`: one table of all pictures of all datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.params import Stage, run_stage
from tr2m_plugin.datasets.readers import READERS
from tr2m_plugin.datasets.tables import INDEX, check_unique, read_table, write_table
from tr2m_plugin.errors import InputError
from tr2m_plugin.tools.data import index_dataset


def index_mini_world(profile: Path, options: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the rendered world, its references made relative to the profile's folder."""
    if options:
        raise InputError(f"MiniWorld takes no options, not {', '.join(options)}: what is rendered is set in `render`")
    rows = read_table(profile / "world" / "index.parquet", INDEX)
    return [{**row, "image": f"world/{row['image']}", "depth": f"world/{row['depth']}"} for row in rows]


def index_entry(entry: dict[str, Any], profile: Path, protocol: str) -> list[dict[str, Any]]:
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


def stage(run: Stage) -> None:
    """Reads every dataset listed in the parameters."""
    entries = run.params.get("datasets") or []
    protocol = run.params.get("protocol", "release")
    rows = [row for entry in entries for row in index_entry(dict(entry), run.root, protocol)]
    if not rows:
        raise InputError("index.datasets lists no dataset with pictures: give one a root")
    check_unique(rows, "the index")
    write_table(run.root / "index.parquet", INDEX, rows)
    counts: dict[str, int] = {}
    for row in rows:
        name = f"{row['dataset']}/{row['split']}"
        counts[name] = counts.get(name, 0) + 1
    print(f"index: {len(rows)} pictures ({', '.join(f'{k} {v}' for k, v in counts.items())})")


if __name__ == "__main__":
    run_stage("index", __doc__, stage)
