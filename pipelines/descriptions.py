"""Stage `descriptions`: one table of all sentences, of describers and of object lists."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.params import Stage, run_stage
from tr2m_plugin.datasets.parquet import read_rows, write_rows
from tr2m_plugin.description.describers import numbered
from tr2m_plugin.description.object_list import object_sentences, sample_seed
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import DescriptionRow, ErrorRow, IndexRow, ListedRow

ORDER = ("texts", "llava_mistral", "llava_vicuna", "captioner", "openai", "maskdino", "transformers")
"""Whose sentences come first, and so which one evaluation takes: as in RSA's files, Mistral before Vicuna."""


def stage(run: Stage) -> None:
    """Joins what `describe` and `list_objects` wrote."""
    rows = read_rows(run.root / "index.parquet", IndexRow)
    known = {row.key for row in rows}
    folders = [folder for kind in ("described", "objects") for folder in _folders(run.root / kind)]
    folders.sort(key=lambda folder: ORDER.index(folder.name) if folder.name in ORDER else len(ORDER))
    lines = [line for folder in folders for line in _lines(folder, run.params) if line.key in known]
    lines += _default(rows, lines, _failed(folders), run.params.get("default"))
    write_rows(run.root / "descriptions.parquet", DescriptionRow, lines)
    print(f"descriptions: {len(lines)} sentences for {len(rows)} pictures")


def _folders(parent: Path) -> list[Path]:
    return sorted(path for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []


def _tables(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.parquet") if path.name != "errors.parquet")


def _lines(folder: Path, params: dict[str, Any]) -> Iterator[DescriptionRow]:
    if folder.parent.name == "described":
        for table in _tables(folder):
            yield from read_rows(table, DescriptionRow)
        return
    listed: dict[str, list[ListedRow]] = defaultdict(list)
    for table in _tables(folder):
        for row in read_rows(table, ListedRow):
            listed[row.key].append(row)
    seed = params.get("seed", 0)
    for key, found in listed.items():
        labels = [row.label for row in found if row.label]
        own = sample_seed(seed, key)
        texts = object_sentences(labels, params.get("sentences", 5), own, params.get("style", "plain"))
        for line in numbered(found[0], found[0].source, texts):
            yield replace(line, model=found[0].model, revision=found[0].revision, seed=seed)


def _failed(folders: list[Path]) -> set[str]:
    tables = [folder / "errors.parquet" for folder in folders]
    return {line.key for table in tables if table.is_file() for line in read_rows(table, ErrorRow)}


def _default(
    rows: list[IndexRow], lines: list[DescriptionRow], unreadable: set[str], default: str | None
) -> list[DescriptionRow]:
    """The default sentence for pictures without one; without a default they are an error if readable."""
    described = {line.key for line in lines}
    missing = [row for row in rows if row.key not in described]
    if default:
        return [line for row in missing for line in numbered(row, "default", [default])]
    names = [row.key for row in missing if row.key not in unreadable]
    if names:
        raise InputError(
            f"{len(names)} of {len(rows)} pictures have no description, such as {', '.join(names[:3])}; "
            "descriptions.default gives them one"
        )
    return []


if __name__ == "__main__":
    run_stage("descriptions", __doc__, stage)
