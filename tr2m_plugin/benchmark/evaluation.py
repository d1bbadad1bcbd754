"""Holds depth models to one ruler: what `tr2m evaluate` runs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from tr2m_plugin import __version__
from tr2m_plugin.benchmark.datasets import Dataset
from tr2m_plugin.benchmark.estimators import Estimator
from tr2m_plugin.benchmark.paper_tables import write_tables
from tr2m_plugin.benchmark.predictions import PredictionWriter, StoredPredictions
from tr2m_plugin.benchmark.results import (
    PER_IMAGE,
    common_kind,
    file_name,
    measure,
    merge,
    pick_examples,
    summarize,
    write_csv,
    write_summary,
)
from tr2m_plugin.benchmark.run import Job, Options, Row, predict
from tr2m_plugin.benchmark.sentences import choose_texts, find_texts
from tr2m_plugin.datasets.parquet import ERRORS, sample_key, write_table
from tr2m_plugin.datasets.readers import load_depth, load_picture
from tr2m_plugin.errors import InputError, attempt
from tr2m_plugin.evaluation.alignment import Alignment
from tr2m_plugin.evaluation.metrics import METRICS
from tr2m_plugin.visualization.errors import Example, draw_errors

SCALINGS = {
    "median": "Median",
    "linear": "Linear Fit",
    "linear_depth": "Linear Fit in depth",
    "global": "Global",
    "global_depth": "Global in depth",
}
"""Alignments as the paper's tables call them."""

TAIL = 4096
"""Bytes of a picture file's end that tell whether it is another."""

SHOWN = 4
"""The most methods beside each other in a picture."""

Source = Callable[[Sequence[Row]], Iterator[tuple[Row, np.ndarray]]]
"""Gives a model's numbers for rows; rows without come not at all."""


def methods_of(label: str, metric: bool, alignments: Sequence[str]) -> dict[str, str | None]:
    """Method names with their alignment: the metric model itself, then every alignment asked for.

    Raises:
        InputError: there is none.
    """
    methods: dict[str, str | None] = {label: None} if metric else {}
    methods |= {f"{label} {SCALINGS[kind].lower()}": kind for kind in alignments}
    if not methods:
        raise InputError(f"{label} gives affine-invariant numbers: choose how to align them with --alignment")
    return methods


class Evaluation:
    """Measurements of any number of models on some datasets.

    Args:
        datasets: to evaluate on.
        out: folder to write, made at once.
        options: how.

    Raises:
        InputError: the folder cannot be made.
    """

    def __init__(self, datasets: Sequence[Dataset], out: Path, options: Options) -> None:
        self.datasets, self.out, self.options = datasets, out, options
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{out} cannot be made a folder: {error}") from error
        self.rows: list[Row] = []
        self.methods: dict[str, dict[str, Any]] = {}
        self.failed: dict[tuple[str, str], dict[str, str]] = {}
        self._labels: set[str] = set()
        self._picks: dict[str, dict[str, Row]] = {}
        self._depths: dict[tuple[str, str], dict[str, np.ndarray]] = {}
        self._texts: dict[str, dict[str, str | None]] | None = None

    def add_model(self, estimator: Estimator) -> None:
        """Predicts and measures a model.

        Raises:
            InputError: descriptions are missing, or nothing says how to align the model.
        """
        options = self.options
        if options.part is None:
            methods_of(estimator.facts.label, estimator.returns.metric, options.alignments)
        label = self._new_label(estimator.facts.label)
        if not estimator.needs_text:
            for data in self.datasets:
                self._run(estimator, data, label, None)
            return
        if self._texts is None:
            right = find_texts(self.datasets, options.tables, options.text)
            self._texts = choose_texts(self.datasets, right, options.seed, options.wrong_text)
        for description in dict.fromkeys(options.descriptions):
            if not any(self._texts[description].values()):
                what = description.replace("_", " ")
                raise InputError(f"no picture has a sentence of the kind {what}: give one with --wrong-text")
            for data in self.datasets:
                self._run(estimator, data, label, description)

    def add_predictions(self, predictions: Sequence[tuple[StoredPredictions, Dataset]]) -> None:
        """Measures one program's predictions on disk, for each of some datasets.

        Raises:
            InputError: predictions of some images are missing or were made of other inputs than the protocol's, or
                nothing says how to align them.
        """
        for stored, data in predictions:
            stored.check(row["sample_id"] for row in data.rows)
            now = {"input": data.protocol.input_hash, "unit": data.unit}
            if any(stored.settings.get(name, value) != value for name, value in now.items()):
                raise InputError(
                    f"{stored.folder} was predicted from other inputs (size, crop, mirror image) or for another unit "
                    f"than {data.name} has by the protocol {data.protocol.name}: measure it as it was predicted"
                )
        label = self._new_label(predictions[0][0].facts.label)
        for stored, data in predictions:
            own = stored.facts
            facts = {"model": own.model, "weights": own.weights, "about": own.about}
            made = {"size": stored.settings.get("size"), "seed": None, "unit_rule": stored.settings.get("unit_rule")}
            job = Job(data, data.rows, label, stored.returns, {**facts, **made}, foreign=not stored.settings)
            self._measure(job, _reading(stored, job))

    def _new_label(self, label: str) -> str:
        names = (label if number == 1 else f"{label} ({number})" for number in count(1))
        self._labels.add(chosen := next(name for name in names if name not in self._labels))
        return chosen

    def _run(self, estimator: Estimator, data: Dataset, label: str, description: str | None) -> None:
        options, facts = self.options, estimator.facts
        rows, texts = data.rows, {}
        if description is not None and self._texts is not None:
            given, right = self._texts[description], self._texts["right"]
            texts = {key: (given[key] or "", right[key] or "") for key in map(sample_key, rows)}
            rows = [row for row in rows if given[sample_key(row)] is not None]  # not every picture has a wrong one
        about = {**facts.about, **({"description": description} if description else {})}
        size = list(options.size) if isinstance(options.size, tuple) else options.size
        made = {"size": size, "seed": options.seed if description else None, "unit_rule": estimator.unit_rule}
        whole = {"model": facts.model, "weights": facts.weights, "about": about, **made}
        wrong = {"wrong_scene": ", another scene's description", "wrong_domain": ", another domain's description"}
        job = Job(data, rows, label + wrong.get(description or "", ""), estimator.returns, whole)

        def source(rows: Sequence[Row]) -> Iterator[tuple[Row, np.ndarray]]:
            return predict(estimator, job, rows, texts, options)

        over_dataset = any(Alignment(kind, "depth").over_dataset for kind in options.alignments)
        if not (options.save or options.part or over_dataset):
            self._measure(job, source)
            return
        folder = self.out / "predictions" / file_name(job.label) / file_name(data.name)
        settings = {"input": data.protocol.input_hash, "size": size}
        settings |= {"unit": data.unit, "unit_rule": estimator.unit_rule}
        writer = PredictionWriter(folder, estimator.returns, facts, settings)
        stamps = {row["sample_id"]: _stamp(row, texts.get(sample_key(row), ("", ""))) for row in rows}
        part = slice(None) if options.part is None else slice(options.part[0] - 1, None, options.part[1])
        missing = [row for row in rows[part] if writer.done.get(row["sample_id"]) != stamps[row["sample_id"]]]
        bar = tqdm(source(missing), total=len(missing), desc=f"{data.name}, predict", unit="picture", mininterval=1)
        try:
            for row, values in bar:
                writer.add(row["sample_id"], values, stamps[row["sample_id"]])
        finally:
            writer.flush()
        if options.part is None:
            self._measure(job, _reading(StoredPredictions(folder), job))

    def _measure(self, job: Job, source: Source) -> None:
        data, returns = job.data, job.returns
        methods = methods_of(job.label, returns.metric, self.options.alignments)
        aligned = {kind: Alignment(kind, returns.space) for kind in methods.values() if kind}
        for method, kind in methods.items():
            about = {**job.facts["about"], **({"scaling": SCALINGS[kind]} if kind else {})}
            entry = {"uses_ground_truth": kind is not None, "label": job.label}
            self.methods[method] = {**entry, **job.facts, "about": about, "alignment": kind, "version": __version__}
            self.failed[method, data.name] = job.failed

        def compared(rows: Sequence[Row], what: str) -> Iterator[tuple[Row, np.ndarray, np.ndarray]]:
            there = job.left(rows)
            for row, values in tqdm(source(there), total=len(there), desc=what, unit="picture", mininterval=1):
                truth = attempt(partial(load_depth, row), row["sample_id"], data.failed)
                if truth is None:
                    continue
                check = partial(data.protocol.checked, values, truth, job.foreign)
                if attempt(check, row["sample_id"], job.failed) is not None:
                    yield row, values, truth

        def depth(values: np.ndarray, truth: np.ndarray, kind: str | None) -> np.ndarray:
            if kind is None:
                return returns.depth(values, data.unit)
            return aligned[kind].apply(data.protocol.at_size_of(values, truth), truth, data.protocol.valid(truth))

        over_dataset = [alignment for alignment in aligned.values() if alignment.over_dataset]
        if over_dataset:
            for _, values, truth in compared(job.rows, f"{data.name}, fit"):
                for alignment in over_dataset:
                    alignment.add(data.protocol.at_size_of(values, truth), truth, data.protocol.valid(truth))
        start = len(self.rows)

        def numbers(row: Row, values: np.ndarray, truth: np.ndarray) -> list[Row]:
            named = {"dataset": data.name, "sample_id": row["sample_id"]}
            found = {method: depth(values, truth, kind) for method, kind in methods.items()}
            return [measure(method, named, map_, truth, data.protocol) for method, map_ in found.items()]

        for triple in compared(job.rows, f"{data.name}, {job.label}"):
            self.rows += attempt(partial(numbers, *triple), triple[0]["sample_id"], job.failed) or []
        if self.options.pictures:
            picked = self._pick(data, job, self.rows[start:], next(iter(methods)))
            for row, values, truth in compared(picked, f"{data.name}, examples"):
                for method, kind in methods.items():
                    found = data.protocol.clamped(data.protocol.at_size_of(depth(values, truth, kind), truth))
                    self._depths.setdefault((data.name, row["sample_id"]), {})[method] = found

    def _pick(self, data: Dataset, job: Job, measured: Sequence[Row], method: str) -> list[Row]:
        """The rows of the images that are shown, best, median and worst of the first method, which a job has."""
        by_id = {row["sample_id"]: row for row in data.rows}
        if data.name not in self._picks:
            first = pick_examples(measured, method)
            if data.name not in first:
                return []
            self._picks[data.name] = {rank: by_id[row["sample_id"]] for rank, row in first[data.name].items()}
        known = {row["sample_id"] for row in job.rows}
        shown = {row["sample_id"]: row for row in self._picks[data.name].values()}
        return [row for sample, row in shown.items() if sample in known]

    def write(self, also: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
        """Writes numbers, tables, pictures and the list of failures; returns the content of metrics.json.

        Args:
            also: what other runs wrote, whose rows the tables show too. Default: none.
        """
        metrics = self._summary()
        (self.out / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
        write_table(self.out / "per_image.parquet", PER_IMAGE, self.rows)
        write_csv(self.out / "per_image.csv", self.rows)
        write_summary(self.out / "summary.csv", metrics)
        errors = [
            {"dataset": name, "sample_id": sample, "reason": reason, "method": method}
            for method, name, failed in self._failures()
            for sample, reason in failed.items()
        ]
        (self.out / "errors.parquet").unlink(missing_ok=True)
        if errors:
            write_table(self.out / "errors.parquet", {**ERRORS, "method": "string"}, errors)
        write_tables(self.out, merge([*also, metrics]))
        for data in self.datasets:
            if data.name in self._picks:
                self._draw(data)
        return metrics

    def failures(self) -> list[tuple[str, str, str]]:
        """Dataset, sample id and reason of every picture that could not be read or predicted."""
        found = {(name, sample): reason for _, name, failed in self._failures() for sample, reason in failed.items()}
        return [(name, sample, reason) for (name, sample), reason in found.items()]

    def _failures(self) -> Iterator[tuple[str | None, str, dict[str, str]]]:
        """Failures by method and dataset; those of pictures and truth concern every method, None."""
        yield from ((None, data.name, data.failed) for data in self.datasets)
        yield from ((method, name, failed) for (method, name), failed in self.failed.items())

    def _summary(self) -> dict[str, Any]:
        facts = {data.name: data.facts for data in self.datasets}
        metrics = summarize(self.rows, self.methods, facts)
        by_name = {data.name: data for data in self.datasets}
        for (method, name), failed in self.failed.items():
            found, data = metrics.setdefault(method, dict(self.methods[method])), by_name[name]
            none = {**dict.fromkeys(METRICS), "images": 0, "empty": 0, **facts[name]}
            lost = len({**data.failed, **failed})
            kind = self.options.kind or ("fixture" if lost else data.kind)
            found[name] = {**found.get(name, none), "kind": kind, **({"failed": lost} if lost else {})}
            found["kind"] = common_kind([kind, found.get("kind", kind)])
        return metrics

    def _draw(self, data: Dataset) -> None:
        values = {(r["method"], r["sample_id"]): r["abs_rel"] for r in self.rows if r["dataset"] == data.name}
        shown = [found for (name, _), found in self._depths.items() if name == data.name]
        first = list(dict.fromkeys(method for found in shown for method in found))[:SHOWN]
        examples = []
        for rank, row in self._picks[data.name].items():
            truth, sample = load_depth(row), row["sample_id"]
            found = self._depths.get((data.name, sample), {})
            depths = {method: found.get(method, np.zeros_like(truth)) for method in first}
            numbers = {method: values.get((method, sample)) for method in first}
            counted = np.where(data.protocol.valid(truth), truth, 0)
            picture = attempt(partial(load_picture, row), sample, data.failed)
            picture = np.zeros((*truth.shape, 3), np.uint8) if picture is None else picture
            examples.append(Example(rank, sample, picture, counted, depths, numbers))
        title = f"{data.name}, protocol {data.protocol.name}"
        draw_errors(self.out / f"errors_{file_name(data.name)}.png", examples, data.unit, title)


def _stamp(row: Row, texts: tuple[str, str]) -> str:
    """Changes with what a picture's prediction depends on, besides the model and the settings."""
    path = Path(row["image"].partition("#")[0])
    end, size = b"", 0
    with suppress(OSError):  # that a picture cannot be read is said where it is read
        if path.is_file():  # by what it holds, so that parts from several machines fit together
            with open(path, "rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(-min(TAIL, size), os.SEEK_END)
                end = file.read()
    kept = [row["sample_id"], row["extras"], size, hashlib.sha256(end).hexdigest(), texts]
    return hashlib.sha256(json.dumps(kept).encode()).hexdigest()[:12]


def _reading(predictions: StoredPredictions, job: Job) -> Source:
    def source(rows: Sequence[Row]) -> Iterator[tuple[Row, np.ndarray]]:
        for row in rows:
            values = attempt(partial(predictions.__getitem__, row["sample_id"]), row["sample_id"], job.failed)
            if values is not None:
                yield row, values

    return source
