"""From measurements per image to the numbers that are reported, each with what it takes to compare it."""

from __future__ import annotations

import csv
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from tr2m_plugin.errors import InputError
from tr2m_plugin.evaluation.metrics import METRICS
from tr2m_plugin.files import read_text

KINDS = {
    "paper": "printed in the paper",
    "reproduced": "measured here, on the whole published data by its protocol",
    "fixture": "measured here on other data, on a part of it, or otherwise",
}
"""What a number is."""

LONGEST = 100
"""Characters of a name that go into a file's."""

PER_IMAGE: dict[str, str] = {
    "method": "string",
    "dataset": "string",
    "sample_id": "string",
    **dict.fromkeys(METRICS, "double"),
    "pixels": "int64",  # that counted
}
"""Columns of the table per image; metrics are null where no pixel counted."""


def common_kind(kinds: Iterable[str]) -> str:
    """The kind of several numbers together: theirs if they are of one, else fixture."""
    found = set(kinds)
    return found.pop() if len(found) == 1 else "fixture"


def image_row(method: str, dataset: str, sample_id: str, numbers: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the table per image, with what `measure` found."""
    return {"method": method, "dataset": dataset, "sample_id": sample_id, **numbers}


def summarize(
    rows: Iterable[Mapping[str, Any]],
    methods: Mapping[str, Mapping[str, Any]],
    datasets: Mapping[str, Mapping[str, Any]],
) -> dict[str, dict[str, Any]]:
    """The content of metrics.json: by method what is said of it and, under `datasets`, its means over images.

    Images without a valid pixel are counted, not averaged.

    Args:
        rows: rows of the table per image.
        methods: what is said of each method, such as its kind, label, weights and version.
        datasets: what is said of each dataset, such as its unit and protocol; a method's kind is that of all of its.
    """
    tables: dict[str, dict[str, list[list[float]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        tables[row["method"]][row["dataset"]].append([row[name] for name in METRICS] if row["pixels"] else [])
    report: dict[str, dict[str, Any]] = {}
    for method, by_dataset in tables.items():
        entry = report[method] = {**methods[method], "datasets": {}}
        kinds = [datasets[dataset]["kind"] for dataset in by_dataset if "kind" in datasets[dataset]]
        if kinds:
            entry["kind"] = common_kind(kinds)
        for dataset, values in by_dataset.items():
            entry["datasets"][dataset] = {**_means(values), **datasets[dataset]}
    return report


def _means(values: Sequence[Sequence[float]]) -> dict[str, Any]:
    good = np.array([line for line in values if line], np.float64)
    means = good.mean(0) if len(good) else [None] * len(METRICS)
    found = {name: None if v is None else round(float(v), 5) for name, v in zip(METRICS, means, strict=True)}
    return {**found, "images": len(values), "empty": len(values) - len(good)}


def pick_examples(rows: Iterable[Mapping[str, Any]], method: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Dataset → best, median and worst image by a method's AbsRel; best and worst of two, `only` of one."""
    by_dataset: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["method"] == method and row["pixels"]:
            by_dataset[row["dataset"]].append(dict(row))
    picks: dict[str, dict[str, dict[str, Any]]] = {}
    for dataset, members in by_dataset.items():
        ranked = sorted(members, key=lambda row: row["abs_rel"])
        ranks = {0: "best", len(ranked) // 2: "median", len(ranked) - 1: "worst"} if len(ranked) > 1 else {0: "only"}
        picks[dataset] = {rank: ranked[place] for place, rank in ranks.items()}
    return picks


def write_summary(path: Path, metrics: Mapping[str, Mapping[str, Any]]) -> None:
    """The means as CSV, a line per method and dataset, for plots (`dvc plots`)."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["name", "method", "dataset", *METRICS, "images", "empty"], extrasaction="ignore")
        writer.writeheader()
        for method, entry in metrics.items():
            for dataset, values in entry["datasets"].items():
                writer.writerow({"name": f"{dataset}, {method}", "method": method, "dataset": dataset, **values})


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """The table per image as CSV."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(PER_IMAGE))
        writer.writeheader()
        writer.writerows(rows)


def read_metrics(path: Path) -> dict[str, Any]:
    """The content of a metrics.json.

    Raises:
        InputError: the file is missing or is not JSON.
    """
    text = read_text(path)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a metrics.json: {error}") from error
    entries = list(content.values()) if isinstance(content, dict) else [None]
    if not all(isinstance(e, dict) and "kind" in e and _is_results(e.get("datasets")) for e in entries):
        raise InputError(f"{path} is not a metrics.json: it should hold methods with their `kind` and `datasets`")
    return content


def _is_results(found: Any) -> bool:
    return isinstance(found, dict) and all(isinstance(v, dict) and "images" in v for v in found.values())


def merge(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Several runs' metrics as one; what has a method's name and is another gets a number behind it."""
    merged: dict[str, Any] = {}
    for run in runs:
        for method, entry in run.items():
            names = (method if i == 1 else f"{method} ({i})" for i in count(1))
            name = next(n for n in names if n not in merged or _same(merged[n], entry))
            known = merged.get(name, {}).get("datasets", {})
            merged[name] = {**entry, "datasets": {**known, **entry["datasets"]}}
    return merged


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    facts = ("model", "weights", "alignment", "about", "version", "size", "seed", "unit_rule")
    mine, theirs = one["datasets"], other["datasets"]
    alike = all(one.get(name) == other.get(name) for name in facts)
    return alike and all(mine[name] == theirs[name] for name in mine if name in theirs)


def file_name(name: str) -> str:
    """A name as part of a file's: no folder, not hidden, not too long for one, never empty."""
    return re.sub(r"[^\w.-]+", "_", name).strip("_").lstrip(".")[:LONGEST] or "_"
