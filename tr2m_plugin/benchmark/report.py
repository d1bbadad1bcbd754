"""What an evaluation writes: numbers, tables, error maps and the list of failures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tr2m_plugin.benchmark.datasets import Dataset
from tr2m_plugin.benchmark.measuring import Measured
from tr2m_plugin.benchmark.paper_tables import write_tables
from tr2m_plugin.benchmark.results import (
    PER_IMAGE,
    common_kind,
    file_name,
    merge,
    summarize,
    write_csv,
    write_summary,
)
from tr2m_plugin.datasets.parquet import write_rows, write_table
from tr2m_plugin.datasets.readers import load_depth, load_picture
from tr2m_plugin.errors import attempt
from tr2m_plugin.evaluation.alignment import Alignment
from tr2m_plugin.evaluation.metrics import METRICS
from tr2m_plugin.files import write_whole
from tr2m_plugin.rows import ErrorRow, IndexRow
from tr2m_plugin.visualization.corrections import Correction, draw_corrections
from tr2m_plugin.visualization.errors import Example, draw_errors

SHOWN = 4
"""The most methods beside each other in a picture."""


@dataclass(frozen=True, kw_only=True)
class FailureRow(ErrorRow):
    """A picture on which something failed.

    Attributes:
        method: whose prediction failed; None where picture or truth did.
    """

    method: str | None


def write_report(
    out: Path,
    datasets: Sequence[Dataset],
    found: Measured,
    kind: str | None = None,
    also: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Writes numbers, tables, pictures and the list of failures; returns the content of metrics.json.

    Args:
        out: folder to write into.
        datasets: that were evaluated on.
        found: what was measured.
        kind: kind of the numbers. Default: each dataset's own, fixture where pictures failed.
        also: what other runs wrote, whose rows the tables show too. Default: none.
    """
    metrics = content(datasets, found, kind)
    text = json.dumps(metrics, indent=1) + "\n"
    write_whole(out / "metrics.json", lambda partial: partial.write_text(text, encoding="utf-8"))
    write_table(out / "per_image.parquet", PER_IMAGE, found.rows)
    write_csv(out / "per_image.csv", found.rows)
    write_summary(out / "summary.csv", metrics)
    errors = [
        FailureRow(dataset=name, sample_id=sample, reason=reason, method=method)
        for method, name, failed in failures(datasets, found)
        for sample, reason in failed.items()
    ]
    (out / "errors.parquet").unlink(missing_ok=True)  # an earlier run's
    if errors:
        write_rows(out / "errors.parquet", FailureRow, errors)
    write_tables(out, merge([*also, metrics]))
    for data in datasets:
        if data.name in found.picks:
            _draw(out, data, found)
        if data.name in found.rescaled:
            _draw_corrections(out, data, found)
    return metrics


def failures(datasets: Sequence[Dataset], found: Measured) -> Iterator[tuple[str | None, str, dict[str, str]]]:
    """Failures by method and dataset; those of pictures and truth concern every method, None."""
    yield from ((None, data.name, data.failed) for data in datasets)
    yield from ((method, name, failed) for (method, name), failed in found.failed.items())


def content(datasets: Sequence[Dataset], found: Measured, kind: str | None = None) -> dict[str, Any]:
    """The content of metrics.json; see `summarize`, and `write_report` for the arguments."""
    facts = {data.name: data.facts for data in datasets}
    by_name = {data.name: data for data in datasets}
    metrics = summarize(found.rows, found.methods, facts)
    for (method, name), failed in found.failed.items():
        entry, data = metrics.setdefault(method, {**found.methods[method], "datasets": {}}), by_name[name]
        none = {**dict.fromkeys(METRICS), "images": 0, "empty": 0, **facts[name]}
        lost = len({**data.failed, **failed})
        own = kind or ("fixture" if lost else data.kind)
        result = {**entry["datasets"].get(name, none), "kind": own, **({"failed": lost} if lost else {})}
        entry["datasets"][name] = result
        entry["kind"] = common_kind([own, entry.get("kind", own)])
    return metrics


def _draw(out: Path, data: Dataset, found: Measured) -> None:
    values = {(r["method"], r["sample_id"]): r["abs_rel"] for r in found.rows if r["dataset"] == data.name}
    shown = [depths for (name, _), depths in found.depths.items() if name == data.name]
    first = list(dict.fromkeys(method for depths in shown for method in depths))[:SHOWN]
    examples = []
    for rank, row in found.picks[data.name].items():
        truth, sample = load_depth(row), row.sample_id
        known = found.depths.get((data.name, sample), {})
        depths = {method: known.get(method, np.zeros_like(truth)) for method in first}
        numbers = {method: values.get((method, sample)) for method in first}
        counted = np.where(data.protocol.valid(truth), truth, 0)
        examples.append(Example(rank, sample, _picture(row, data), counted, depths, numbers))
    title = f"{data.name}, protocol {data.protocol.name}"
    draw_errors(out / f"errors_{file_name(data.name)}.png", examples, data.unit, title)


def _draw_corrections(out: Path, data: Dataset, found: Measured) -> None:
    shown, protocol, examples = found.rescaled[data.name], data.protocol, []
    for rank, row in found.picks[data.name].items():
        depth = found.depths.get((data.name, row.sample_id), {}).get(shown.label)
        if depth is None or row.sample_id not in shown.maps:
            continue
        truth, (relative, scale, shift) = load_depth(row), shown.maps[row.sample_id]
        valid = protocol.valid(truth)
        fit = Alignment("linear", "disparity").apply(protocol.at_size_of(relative, truth), truth, valid)
        counted, text = np.where(valid, truth, 0), shown.texts.get(row.sample_id, "")
        named = (rank, row.sample_id, text, _picture(row, data), counted)
        examples.append(Correction(*named, relative, scale, shift, protocol.clamped(fit), depth))
    if examples:
        title = f"{shown.label} beside one scale and shift per picture; {data.name}, protocol {protocol.name}"
        draw_corrections(out / f"corrections_{file_name(data.name)}.png", examples, data.unit, title)


def _picture(row: IndexRow, data: Dataset) -> np.ndarray:
    """A picture; black where it cannot be read."""
    picture = attempt(partial(load_picture, row), row.sample_id, data.failed)
    return np.zeros((*load_depth(row).shape, 3), np.uint8) if picture is None else picture
