"""Stage `evaluate`: TR2M on the test split, beside what ground truth makes of the relative depth alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.estimators import PrecomputedRelativeDepth, TableTR2M
from pipelines.examples import write_examples
from pipelines.params import Stage, run_stage
from pipelines.train import weights_file
from tr2m_plugin.benchmark.conditions import PAPERS
from tr2m_plugin.benchmark.datasets import Dataset, datasets_of
from tr2m_plugin.benchmark.evaluation import Evaluation
from tr2m_plugin.benchmark.run import Options
from tr2m_plugin.datasets.parquet import read_rows
from tr2m_plugin.datasets.table_dataset import TableDataset
from tr2m_plugin.device import pick_device
from tr2m_plugin.errors import InputError
from tr2m_plugin.inference.model_folder import build_model, open_model
from tr2m_plugin.rows import IndexRow

ALIGNED_BY = ("median", "linear", "global", "global_all")
"""What ground truth makes of the relative depth: the paper's grey rows."""


def read_split(root: Path, split: str) -> tuple[list[IndexRow], dict[str, str]]:
    """Rows of the index whose relative depth could be computed, and where that is, by their keys."""
    data = TableDataset(data_root=str(root), split=split, pipeline=[], text=False, test_mode=True)
    infos = [data.get_data_info(number) for number in range(len(data))]
    return [info["row"] for info in infos], {info["row"].key: info["relative_depth"] for info in infos}


def thinned(rows: Sequence[IndexRow], limit: int | None) -> list[IndexRow]:
    """At most so many rows, evenly spaced; all without a limit."""
    count = len(rows) if limit is None else min(limit, len(rows))
    return [rows[number] for number in np.linspace(0, len(rows) - 1, count).astype(int).tolist()]


def before_fine_tuning(tr2m: TableTR2M, root: Path) -> TableTR2M | None:
    """The model that fine-tuning started from; None without, or where what it started from was no whole model."""
    start = tr2m.spec.about.get("load_from")
    if start is None:
        return None
    try:
        model = build_model(tr2m.spec, weights_file(start), tr2m.device)
    except InputError as error:
        print(f"evaluate: no row of the model before fine-tuning: {error}", file=sys.stderr)
        return None
    return TableTR2M(model, tr2m.spec, root, tr2m.arrays, tr2m.device, " before fine-tuning")


def report_failures(evaluation: Evaluation, most: float) -> None:
    """Prints what failed.

    Raises:
        InputError: something failed on more pictures than `most` of them.
    """
    failed, count = evaluation.failures(), sum(len(data.rows) for data in evaluation.datasets)
    for name, sample, reason in failed[:5]:
        print(f"evaluate: {name}/{sample}: {reason}", file=sys.stderr)
    if len(failed) > most * count:
        where = evaluation.out / "errors.parquet"
        raise InputError(f"{len(failed)} of {count} pictures failed; {where} says why")


def fitted_rows(run: Stage, rows: list[IndexRow], arrays: dict[str, str]) -> tuple[str, list[Dataset] | None]:
    """On which split the fits over datasets are made, and its datasets; None for those that are measured."""
    split, limit = run.params.get("fit_on", "train"), run.count("fit_limit", None)
    if not any(row.split == split for row in read_rows(run.root / "index.parquet", IndexRow)):
        split = "test"  # nothing to train on: the evaluated pictures themselves
    if split == "test" and limit is None:
        return split, None
    if split != "test":
        rows, more = read_split(run.root, split)
        arrays |= more
    return split, datasets_of(thinned(rows, limit))


def stage(run: Stage) -> None:
    """Writes metrics.json, the tables, the table per image and the examples for the report."""
    if run.params.get("fit_on", "train") not in ("train", "val", "test"):
        raise InputError(f"fit_on must be train, val or test, not {run.params['fit_on']!r:.100}")
    most_errors, kind = run.share("max_error_share", 0.2), run.params.get("kind", "fixture")
    device = pick_device(run.params.get("device", "auto"))
    model, spec = open_model(run.root / "model", device=device)
    rows, arrays = read_split(run.root, "test")
    if any(row.depth is None for row in rows):
        raise InputError(
            "the test split has pictures without depth, which nothing can be measured on: see `tr2m predict`"
        )
    split, fit = fitted_rows(run, rows, arrays)
    options = Options(
        descriptions=list(dict.fromkeys(["right", *run.params.get("which_text", PAPERS)])),
        tables=[run.root / "descriptions.parquet"],
        wrong_text=run.params.get("wrong_text"),
        seed=run.params.get("seed", 0),
        kind=None if kind == "reproduced" else kind,
        batch_size=run.count("batch_size", 32),
        pictures=False,
        fit=fit,
        fitted_on=split,
    )
    evaluation = Evaluation(datasets_of(rows), run.root / "evaluation", options)
    tr2m = TableTR2M(model, spec, run.root, arrays, device)
    texts = evaluation.sentences()
    there = [which for which in options.descriptions if any(text is not None for text in texts[which].values())]
    evaluation.add_model(tr2m, there)
    before = before_fine_tuning(tr2m, run.root)
    if before is not None:
        evaluation.add_model(before, ["right"])
    evaluation.add_model(PrecomputedRelativeDepth(arrays, tr2m.facts.about["backbone"]), alignments=ALIGNED_BY)
    content = evaluation.write()
    Path("metrics.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    write_examples(evaluation.out, evaluation, tr2m)
    report_failures(evaluation, most_errors)


if __name__ == "__main__":
    run_stage("evaluate", __doc__, stage)
