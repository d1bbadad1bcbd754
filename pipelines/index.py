"""Stage `index`: one table of all pictures of all datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.params import Stage, run_stage
from tr2m_plugin.datasets.rgbd_folder import RGBDFolder
from tr2m_plugin.datasets.tables import INDEX, check_unique, read_table, write_table
from tr2m_plugin.errors import InputError


def index_mini_world(profile: Path, options: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the rendered world, its references made relative to the profile's folder."""
    if options:
        raise InputError(f"MiniWorld takes no options, not {', '.join(options)}: what is rendered is set in `render`")
    rows = read_table(profile / "world" / "index.parquet", INDEX)
    return [{**row, "image": f"world/{row['image']}", "depth": f"world/{row['depth']}"} for row in rows]


def index_rgbd_folder(profile: Path, options: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of a folder of pictures and depth maps."""
    try:
        return RGBDFolder(**options).index()
    except TypeError as error:
        raise InputError(f"RGBDFolder: {error}") from error


READERS = {"MiniWorld": index_mini_world, "RGBDFolder": index_rgbd_folder}
"""Readers by type; each takes the profile's folder and its options and returns rows of the index."""


def stage(run: Stage) -> None:
    """Reads every dataset listed in the parameters."""
    rows: list[dict[str, Any]] = []
    for entry in run.params.get("datasets") or []:
        options = dict(entry)
        kind = options.pop("type", None)
        if kind not in READERS:
            raise InputError(f"index.datasets: type must be one of {', '.join(READERS)}, not {kind!r}")
        rows += READERS[kind](run.root, options)
    if not rows:
        raise InputError("index.datasets lists no dataset with pictures")
    check_unique(rows, "the index")
    write_table(run.root / "index.parquet", INDEX, rows)
    counts: dict[str, int] = {}
    for row in rows:
        name = f"{row['dataset']}/{row['split']}"
        counts[name] = counts.get(name, 0) + 1
    print(f"index: {len(rows)} pictures ({', '.join(f'{k} {v}' for k, v in counts.items())})")


if __name__ == "__main__":
    run_stage("index", __doc__, stage)
