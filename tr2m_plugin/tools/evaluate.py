"""Holds depth models to one ruler: what `tr2m evaluate` runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import DataLoader
from tqdm import tqdm

from tr2m_plugin import __version__
from tr2m_plugin.datasets.readers import load_depth, load_picture
from tr2m_plugin.datasets.tables import ERRORS, sample_key, write_table
from tr2m_plugin.errors import InputError
from tr2m_plugin.evaluation.alignment import Alignment
from tr2m_plugin.evaluation.results import PER_IMAGE, measure, pick_examples, summarize, write_csv, write_summary
from tr2m_plugin.evaluation.tables import write_tables
from tr2m_plugin.inference.estimators import Estimator, Returns
from tr2m_plugin.inference.predictions import PredictionWriter, StoredPredictions
from tr2m_plugin.tools.data import Dataset
from tr2m_plugin.tools.texts import DESCRIPTIONS, choose_texts, find_texts
from tr2m_plugin.visualization.errors import Example, draw_errors

SCALINGS = {
    "median": "Median",
    "linear": "Linear Fit",
    "linear_depth": "Linear Fit in depth",
    "global": "Global",
    "global_depth": "Global in depth",
}
"""Alignments as the paper's tables call them."""

SHOWN = 4
"""The most methods beside each other in a picture."""

Row = dict[str, Any]
Source = Callable[[Sequence[Row]], Iterator[tuple[Row, np.ndarray]]]
"""Gives a model's numbers for rows; rows without come not at all."""


@dataclass
class Options:
    """How models are run and measured.

    Attributes:
        alignments: names of `ALIGNMENTS`; a metric model is measured without any too.
        descriptions: which sentences a model that takes them gets: names of `DESCRIPTIONS`.
        tables: see `find_texts`.
        text: see `find_texts`.
        wrong_text: see `choose_texts`.
        seed: of wrong descriptions.
        size: `protocol`, `model`, or height and width at which models that take any size see the pictures.
        kind: of the numbers: reproduced or fixture.
        save: whether predictions are kept as shards; those for a fit over a dataset always are.
        part: (k, n): every n-th image from the k-th on is predicted into shards, and nothing measured.
        batch_size: pictures at a time.
        workers: processes that read pictures.
        pictures: whether error maps are drawn.
    """

    alignments: Sequence[str] = ()
    descriptions: Sequence[str] = ("right",)
    tables: Sequence[Path] = ()
    text: str | None = None
    wrong_text: str | None = None
    seed: int = 0
    size: str | tuple[int, int] = "protocol"
    kind: str = "reproduced"
    save: bool = False
    part: tuple[int, int] | None = None
    batch_size: int = 4
    workers: int = 0
    pictures: bool = True


class _Pictures:
    """Rows with their pictures, read in the loader's processes; an unreadable one comes as what is wrong with it."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> tuple[Row, np.ndarray | str]:
        row = self.rows[number]
        try:
            return row, load_picture(row)
        except InputError as error:
            return row, str(error)


def predict(
    estimator: Estimator, data: Dataset, texts: Mapping[str, str | None], rows: Sequence[Row], options: Options
) -> Iterator[tuple[Row, np.ndarray]]:
    """Rows with the model's numbers, (h, w), a batch in memory at a time.

    A picture that cannot be read goes into `data.failed`.
    """
    size: Any = {"protocol": data.protocol.input_size, "model": None}.get(str(options.size), options.size)
    loader: Any = DataLoader(_Pictures(rows), options.batch_size, num_workers=options.workers, collate_fn=list)  # type: ignore[arg-type]
    for batch in loader:
        data.failed.update({row["sample_id"]: found for row, found in batch if isinstance(found, str)})
        good = [(row, found) for row, found in batch if not isinstance(found, str)]
        if not good:
            continue
        images = [image for _, image in good]
        sentences = [texts[sample_key(row)] or "" for row, _ in good] if estimator.needs_text else []
        outputs = estimator.predict(images, sentences, size)
        if data.protocol.flip_average:
            mirrored = estimator.predict([image[:, ::-1].copy() for image in images], sentences, size)
            outputs = [(a + b[:, ::-1]) / 2 for a, b in zip(outputs, mirrored, strict=True)]
        yield from zip((row for row, _ in good), outputs, strict=True)


def methods_of(label: str, metric: bool, alignments: Sequence[str]) -> dict[str, str | None]:
    """Method names with their alignment: the metric model itself, then every alignment asked for.

    Raises:
        InputError: there is none.
    """
    for kind in alignments:
        Alignment(kind, "depth")
    methods: dict[str, str | None] = {label: None} if metric else {}
    methods |= {f"{label} {SCALINGS[kind].lower()}": kind for kind in alignments}
    if not methods:
        raise InputError(f"{label} gives affine-invariant numbers: choose how to align them with --alignment")
    return methods


class Evaluation:
    """Measurements of any number of models on some datasets.

    Args:
        datasets: to evaluate on.
        out: folder to write.
        options: how.
    """

    def __init__(self, datasets: Sequence[Dataset], out: Path, options: Options) -> None:
        self.datasets, self.out, self.options = datasets, out, options
        self.rows: list[Row] = []
        self.methods: dict[str, dict[str, Any]] = {}
        self._picks: dict[str, dict[str, Row]] = {}
        self._depths: dict[tuple[str, str], dict[str, np.ndarray]] = {}
        self._texts: dict[str, dict[str, str | None]] | None = None

    def add_model(self, estimator: Estimator) -> None:
        """Predicts and measures a model.

        Raises:
            InputError: descriptions are missing, or nothing says how to align the model.
        """
        options = self.options
        methods_of(estimator.facts.label, estimator.returns.metric, options.alignments)
        if not estimator.needs_text:
            for data in self.datasets:
                self._run(estimator, data, {}, None)
            return
        if self._texts is None:
            right = find_texts(self.datasets, options.tables, options.text)
            self._texts = choose_texts(self.datasets, right, options.seed, options.wrong_text)
        unknown = sorted(set(options.descriptions) - set(DESCRIPTIONS))
        if unknown:
            raise InputError(f"descriptions are {', '.join(DESCRIPTIONS)}, not {', '.join(unknown)}")
        for description in options.descriptions:
            for data in self.datasets:
                self._run(estimator, data, self._texts[description], description)

    def add_predictions(self, predictions: StoredPredictions, data: Dataset) -> None:
        """Measures what is on disk.

        Raises:
            InputError: predictions of some images are missing, or nothing says how to align them.
        """
        predictions.check(row["sample_id"] for row in data.rows)
        facts = predictions.facts
        whole = {"model": facts.model, "weights": facts.weights, "about": facts.about}
        self._measure(_reading(predictions, data), data, data.rows, facts.label, predictions.returns, whole)

    def _run(
        self, estimator: Estimator, data: Dataset, texts: Mapping[str, str | None], description: str | None
    ) -> None:
        options, facts = self.options, estimator.facts
        wrong = {"wrong_scene": ", another scene's description", "wrong_domain": ", another domain's description"}
        label = facts.label + wrong.get(description or "", "")
        about = {**facts.about, **({"description": description} if description else {})}
        whole = {"model": facts.model, "weights": facts.weights, "about": about}

        def source(rows: Sequence[Row]) -> Iterator[tuple[Row, np.ndarray]]:
            return predict(estimator, data, texts, rows, options)

        rows = data.rows
        if estimator.needs_text:  # not every picture has a wrong sentence
            rows = [row for row in rows if texts[sample_key(row)] is not None]
        over_dataset = any(Alignment(kind, "depth").over_dataset for kind in options.alignments)
        if not (options.save or options.part or over_dataset):
            self._measure(source, data, rows, label, estimator.returns, whole)
            return
        folder = self.out / "predictions" / _file_name(label) / data.name
        settings = {"protocol": data.protocol.hash, "size": options.size, "description": description}
        writer = PredictionWriter(folder, estimator.returns, facts, {**settings, "seed": options.seed})
        part = slice(None) if options.part is None else slice(options.part[0] - 1, None, options.part[1])
        missing = [row for row in rows[part] if row["sample_id"] not in writer.done]
        bar = tqdm(source(missing), total=len(missing), desc=f"{data.name}, predict", unit="picture", mininterval=1)
        for row, values in bar:
            writer.add(row["sample_id"], values)
        writer.flush()
        if options.part is None:
            self._measure(_reading(StoredPredictions(folder), data), data, rows, label, estimator.returns, whole)

    def _measure(
        self,
        source: Source,
        data: Dataset,
        rows: Sequence[Row],
        label: str,
        returns: Returns,
        facts: Mapping[str, Any],
    ) -> None:
        methods = methods_of(label, returns.metric, self.options.alignments)
        aligned = {kind: Alignment(kind, returns.space) for kind in methods.values() if kind}
        for method, kind in methods.items():
            about = {**facts["about"], **({"scaling": SCALINGS[kind]} if kind else {})}
            entry = {"kind": self.options.kind, "uses_ground_truth": kind is not None, "label": label}
            self.methods[method] = {**entry, **facts, "about": about, "alignment": kind, "version": __version__}

        def compared(rows: Sequence[Row], what: str) -> Iterator[tuple[Row, np.ndarray, np.ndarray]]:
            there = [row for row in rows if row["sample_id"] not in data.failed]
            for row, values in tqdm(source(there), total=len(there), desc=what, unit="picture", mininterval=1):
                truth = data.attempt(row, partial(load_depth, row))
                if truth is not None:
                    yield row, values, truth

        def depth(values: np.ndarray, truth: np.ndarray, kind: str | None) -> np.ndarray:
            if kind is None:
                return returns.depth(values, data.unit)
            return aligned[kind].apply(data.protocol.at_size_of(values, truth), truth, data.protocol.valid(truth))

        over_dataset = [alignment for alignment in aligned.values() if alignment.over_dataset]
        if over_dataset:
            for _, values, truth in compared(rows, f"{data.name}, fit"):
                for alignment in over_dataset:
                    alignment.add(data.protocol.at_size_of(values, truth), truth, data.protocol.valid(truth))
        start = len(self.rows)
        for row, values, truth in compared(rows, f"{data.name}, {label}"):
            self.rows += [
                measure(m, row, depth(values, truth, kind), truth, data.protocol) for m, kind in methods.items()
            ]
        if self.options.pictures:
            self._remember(self.rows[start:], data, methods, compared, depth)

    def _remember(
        self,
        measured: Sequence[Row],
        data: Dataset,
        methods: Mapping[str, str | None],
        compared: Callable[[Sequence[Row], str], Iterator[tuple[Row, np.ndarray, np.ndarray]]],
        depth: Callable[[np.ndarray, np.ndarray, str | None], np.ndarray],
    ) -> None:
        """Keeps depth of the images that are shown: best, median and worst of the first method."""
        if data.name not in self._picks:
            first = pick_examples(measured, next(iter(methods)))
            if data.name not in first:
                return
            by_id = {row["sample_id"]: row for row in data.rows}
            self._picks[data.name] = {rank: by_id[row["sample_id"]] for rank, row in first[data.name].items()}
        shown = {row["sample_id"]: row for row in self._picks[data.name].values()}
        for row, values, truth in compared(list(shown.values()), f"{data.name}, examples"):
            for method, kind in methods.items():
                found = data.protocol.clamped(data.protocol.at_size_of(depth(values, truth, kind), truth))
                self._depths.setdefault((data.name, row["sample_id"]), {})[method] = found

    def write(self, also: Sequence[Path] = ()) -> dict[str, Any]:
        """Writes numbers, tables, pictures and the list of failures; returns the content of metrics.json.

        Args:
            also: metrics.json files of other runs, whose rows the tables show too. Default: none.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        metrics = summarize(self.rows, self.methods, {data.name: data.facts for data in self.datasets})
        (self.out / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
        write_table(self.out / "per_image.parquet", PER_IMAGE, self.rows)
        write_csv(self.out / "per_image.csv", self.rows)
        write_summary(self.out / "summary.csv", metrics)
        errors = [
            {"dataset": data.name, "sample_id": sample, "reason": reason}
            for data in self.datasets
            for sample, reason in data.failed.items()
        ]
        if errors:
            write_table(self.out / "errors.parquet", ERRORS, errors)
        write_tables(self.out, merge([*map(read_metrics, also), metrics]))
        for data in self.datasets:
            if data.name in self._picks:
                self._draw(data)
        return metrics

    def _draw(self, data: Dataset) -> None:
        values = {(r["method"], r["sample_id"]): r["abs_rel"] for r in self.rows if r["dataset"] == data.name}
        examples = []
        for rank, row in self._picks[data.name].items():
            truth, sample = load_depth(row), row["sample_id"]
            depths = dict(list(self._depths[data.name, sample].items())[:SHOWN])
            numbers = {method: values[method, sample] for method in depths}
            counted = np.where(data.protocol.valid(truth), truth, 0)
            examples.append(Example(f"{rank}\n{sample}", load_picture(row), counted, depths, numbers))
        title = f"{data.name}, protocol {data.protocol.name}"
        draw_errors(self.out / f"errors_{_file_name(data.name)}.png", examples, data.unit, title)


def _reading(predictions: StoredPredictions, data: Dataset) -> Source:
    def source(rows: Sequence[Row]) -> Iterator[tuple[Row, np.ndarray]]:
        for row in rows:
            values = data.attempt(row, partial(predictions.__getitem__, row["sample_id"]))
            if values is not None:
                yield row, values

    return source


def read_metrics(path: Path) -> dict[str, Any]:
    """The content of a metrics.json.

    Raises:
        InputError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a metrics.json: {error}") from error


def merge(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Several runs' metrics as one; what has a method's name and is another gets a number behind it."""
    merged: dict[str, Any] = {}
    for run in runs:
        for method, entry in run.items():
            names = (method if i == 1 else f"{method} ({i})" for i in count(1))
            name = next(n for n in names if n not in merged or _same(merged[n], entry))
            merged[name] = {**merged.get(name, {}), **entry}
    return merged


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    facts = ("kind", "model", "weights", "alignment", "about", "version")
    return all(one.get(fact) == other.get(fact) for fact in facts)


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name).strip("_")
