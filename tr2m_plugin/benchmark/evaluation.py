"""Holds depth models to one ruler: what `tr2m evaluate` and the stage `evaluate` run."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from tr2m_plugin.benchmark.conditions import DESCRIPTIONS, choose_texts
from tr2m_plugin.benchmark.datasets import Dataset
from tr2m_plugin.benchmark.estimators import Estimator
from tr2m_plugin.benchmark.measuring import Alignments, Measured, Measurement, Rescaled, Source, methods_of
from tr2m_plugin.benchmark.predictions import PredictionWriter, StoredPredictions
from tr2m_plugin.benchmark.report import failures, write_report
from tr2m_plugin.benchmark.results import file_name
from tr2m_plugin.benchmark.run import Job, Options, Texts, maps_of, predict
from tr2m_plugin.benchmark.sentences import find_texts
from tr2m_plugin.errors import InputError, attempt
from tr2m_plugin.evaluation.alignment import ALIGNMENTS, Alignment
from tr2m_plugin.rows import IndexRow
from tr2m_plugin.version import __version__

TAIL = 4096
"""Bytes of a picture file's end that tell whether it is another."""


class Evaluation:
    """Measurements of any number of models on some datasets.

    Args:
        datasets: to evaluate on.
        out: folder to write, made at once.
        options: how.

    Attributes:
        found: what was measured so far.

    Raises:
        InputError: the folder cannot be made.
    """

    def __init__(self, datasets: Sequence[Dataset], out: Path, options: Options) -> None:
        self.datasets, self.out, self.options = datasets, out, options
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{out} cannot be made a folder: {error}") from error
        self.found = Measured()
        self._labels: set[str] = set()
        self._texts: dict[str, dict[str, str | None]] | None = None

    def add_model(
        self,
        estimator: Estimator,
        descriptions: Sequence[str] | None = None,
        alignments: Sequence[str] | None = None,
    ) -> None:
        """Predicts and measures a model.

        Args:
            estimator: the model.
            descriptions: which sentences it gets, where it takes them. Default: those of the options.
            alignments: how its numbers are aligned. Default: those of the options.

        Raises:
            InputError: descriptions are missing, or nothing says how to align the model, or it has no numbers of what
                a protocol asks for, mirror images or pictures that are not normalised.
        """
        options, alignments = self.options, self.options.alignments if alignments is None else alignments
        if options.part is None:
            methods_of(estimator.facts.label, estimator.returns.metric, alignments)
        mirrored = next((data for data in self.datasets if data.protocol.flip_average), None)
        if mirrored is not None and not estimator.takes_mirrors:
            raise InputError(
                f"the protocol {mirrored.protocol.name!r} of {mirrored.name} averages with the mirror image, of which "
                "there are no numbers here: index with another protocol, and measure this one with `tr2m evaluate`"
            )
        plain = next((data for data in self.datasets if not data.protocol.normalize), None)
        if plain is not None and not estimator.takes_plain:
            raise InputError(
                f"the protocol {plain.protocol.name!r} of {plain.name} gives networks pictures that are not "
                f"normalised, which {estimator.facts.label} does not take here: leave out normalize"
            )
        label = self._new_label(estimator.facts.label)
        if not estimator.needs_text:
            self._run(estimator, label, None, alignments)
            return
        texts = self.sentences()
        for description in dict.fromkeys(options.descriptions if descriptions is None else descriptions):
            if all(text is None for text in texts[description].values()):
                what = description.replace("_", " ")
                hint = ": give one with --wrong-text" if description == "wrong_domain" else ""
                raise InputError(f"no picture has a sentence of the kind {what}{hint}")
            self._run(estimator, label, description, alignments)

    def sentences(self) -> dict[str, dict[str, str | None]]:
        """For each of `DESCRIPTIONS` the sentence of every picture by its key; see `choose_texts`."""
        if self._texts is None:
            right = find_texts(self.datasets, self.options.tables, self.options.text)
            self._texts = choose_texts(self.datasets, right, self.options.seed, self.options.wrong_text)
        return self._texts

    def add_predictions(self, predictions: Sequence[tuple[StoredPredictions, Dataset]]) -> None:
        """Measures one program's predictions on disk, for each of some datasets.

        Raises:
            InputError: predictions of some images are missing or were made of other inputs than the protocol's, or
                nothing says how to align them.
        """
        for stored, data in predictions:
            stored.check(row.sample_id for row in data.rows)
            now = {"input": data.protocol.input_hash, "unit": data.unit}
            if any(stored.settings.get(name, value) != value for name, value in now.items()):
                raise InputError(
                    f"{stored.folder} was predicted from other inputs (size, crop, mirror image) or for another unit "
                    f"than {data.name} has by the protocol {data.protocol.name}: measure it as it was predicted"
                )
        label, jobs = self._new_label(predictions[0][0].facts.label), []
        for stored, data in predictions:
            own = stored.facts
            facts = {"model": own.model, "weights": own.weights, "about": own.about}
            made = {"size": stored.settings.get("size"), "seed": None, "unit_rule": stored.settings.get("unit_rule")}
            job = Job(data, data.rows, label, stored.returns, {**facts, **made}, foreign=not stored.settings)
            jobs.append((job, _reading(stored, job)))
        self._measure(jobs, self.options.alignments)

    def write(self, also: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
        """Writes what was measured so far; returns the content of metrics.json.

        Args:
            also: what other runs wrote, whose rows the tables show too. Default: none.
        """
        return write_report(self.out, self.datasets, self.found, self.options.kind, also)

    def failures(self) -> list[tuple[str, str, str]]:
        """Dataset, sample id and reason of every picture that could not be read or predicted."""
        listed = failures(self.datasets, self.found)
        reasons = {(name, sample): why for _, name, failed in listed for sample, why in failed.items()}
        return [(name, sample, why) for (name, sample), why in reasons.items()]

    def _new_label(self, label: str) -> str:
        names = (label if number == 1 else f"{label} ({number})" for number in count(1))
        self._labels.add(chosen := next(name for name in names if name not in self._labels))
        return chosen

    def _run(self, estimator: Estimator, label: str, description: str | None, alignments: Sequence[str]) -> None:
        options = self.options
        jobs = [self._job(estimator, data, label, description) for data in self.datasets]
        over = any(Alignment(kind, "depth").over_dataset for kind in alignments)
        if not estimator.computes or not (options.save or options.part or over):
            fits = None if options.fit is None else [self._job(estimator, data, label, None) for data in options.fit]
            on = None if fits is None else _computing(estimator, fits, options)
            self._measure(_computing(estimator, jobs, options), alignments, on)
        else:
            kept = [self._keep(estimator, job, texts) for job, texts in jobs]
            if options.part is not None:
                return
            self._measure([(job, _reading(StoredPredictions(folder), job)) for job, folder in kept], alignments)
        if options.pictures:
            self._keep_maps(estimator, jobs)

    def _keep_maps(self, estimator: Estimator, jobs: Sequence[tuple[Job, Texts]]) -> None:
        """Keeps what is behind the depth of the pictures that are shown, of the first model of which there is any."""
        for job, texts in jobs:
            name, there = job.data.name, {row.key for row in job.rows}
            shown = [row for row in self.found.picks.get(name, {}).values() if row.key in there]
            if name in self.found.rescaled or not shown:
                continue
            maps = maps_of(estimator, job, shown, texts, self.options)
            if maps:
                given = {row.sample_id: texts[row.key][0] for row in shown if row.key in texts}
                self.found.rescaled[name] = Rescaled(job.label, maps, given)

    def _job(self, estimator: Estimator, data: Dataset, label: str, description: str | None) -> tuple[Job, Texts]:
        options, facts = self.options, estimator.facts
        rows, texts = data.rows, {}
        if description is not None and self._texts is not None:
            given, right = self._texts[description], self._texts["right"]
            texts = {key: (given[key] or "", right[key] or "") for key in (row.key for row in rows)}
            rows = [row for row in rows if given[row.key] is not None]  # not every picture has a wrong one
        about = {**facts.about, **({"description": description} if description else {})}
        size = list(options.size) if isinstance(options.size, tuple) else options.size
        made = {"size": size, "seed": options.seed if description else None, "unit_rule": estimator.unit_rule}
        whole = {"model": facts.model, "weights": facts.weights, "about": about, **made}
        suffix = DESCRIPTIONS[description].suffix if description else ""
        return Job(data, rows, label + suffix, estimator.returns, whole), texts

    def _keep(self, estimator: Estimator, job: Job, texts: Texts) -> tuple[Job, Path]:
        """Predicts into shards what is not there yet."""
        data, options = job.data, self.options
        folder = self.out / "predictions" / file_name(job.label) / file_name(data.name)
        settings = {"input": data.protocol.input_hash, "size": job.facts["size"]}
        settings |= {"unit": data.unit, "unit_rule": estimator.unit_rule}
        writer = PredictionWriter(folder, estimator.returns, estimator.facts, settings)
        stamps = {row.sample_id: _stamp(row, texts.get(row.key, ("", ""))) for row in job.rows}
        part = slice(None) if options.part is None else slice(options.part[0] - 1, None, options.part[1])
        missing = [row for row in job.rows[part] if writer.done.get(row.sample_id) != stamps[row.sample_id]]
        source = predict(estimator, job, missing, texts, options)
        bar = tqdm(source, total=len(missing), desc=f"{data.name}, predict", unit="picture", mininterval=1)
        try:
            for row, values in bar:
                writer.add(row.sample_id, values, stamps[row.sample_id])
        finally:
            writer.flush()
        return job, folder

    def _measure(
        self,
        jobs: Sequence[tuple[Job, Source]],
        kinds: Sequence[str],
        fits: Sequence[tuple[Job, Source]] | None = None,
    ) -> None:
        """Measures one model on datasets: first the fits over them, of the same pictures by default, then each."""
        job, _ = jobs[0]
        methods = methods_of(job.label, job.returns.metric, kinds)
        alignments = Alignments(methods, job.returns.space)
        for job, source in jobs if fits is None else fits:
            Measurement(job, source, alignments.of(job.data.name)).fit()
        for job, source in jobs:
            measurement = Measurement(job, source, alignments.of(job.data.name))
            for method in measurement.methods():
                self.found.methods[method] = self._facts(job, methods[method])
                self.found.failed[method, job.data.name] = job.failed
            start = len(self.found.rows)
            self.found.rows.extend(measurement.rows())
            if self.options.pictures:
                measurement.show(self.found, self.found.rows[start:])

    def _facts(self, job: Job, kind: str | None) -> dict[str, Any]:
        about = {**job.facts["about"], **({"scaling": ALIGNMENTS[kind].label} if kind else {})}
        entry = {"uses_ground_truth": kind is not None, "label": job.label, **job.facts, "about": about}
        entry |= {"alignment": kind, "version": __version__}
        over = kind is not None and Alignment(kind, "depth").over_dataset and self.options.fitted_on
        return {**entry, "fitted_on": self.options.fitted_on} if over else entry


def _computing(estimator: Estimator, jobs: Sequence[tuple[Job, Texts]], options: Options) -> list[tuple[Job, Source]]:
    def source(job: Job, texts: Texts, rows: Sequence[IndexRow]) -> Iterator[tuple[IndexRow, np.ndarray]]:
        return predict(estimator, job, rows, texts, options)

    return [(job, partial(source, job, texts)) for job, texts in jobs]


def _reading(predictions: StoredPredictions, job: Job) -> Source:
    def source(rows: Sequence[IndexRow]) -> Iterator[tuple[IndexRow, np.ndarray]]:
        for row in rows:
            values = attempt(partial(predictions.__getitem__, row.sample_id), row.sample_id, job.failed)
            if values is not None:
                yield row, values

    return source


def _stamp(row: IndexRow, texts: tuple[str, str]) -> str:
    """Changes with what a picture's prediction depends on, besides the model and the settings."""
    path = Path(row.image.partition("#")[0])
    end, size = b"", 0
    with suppress(OSError):  # that a picture cannot be read is said where it is read
        if path.is_file():  # by what it holds, so that parts from several machines fit together
            with open(path, "rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(-min(TAIL, size), os.SEEK_END)
                end = file.read()
    kept = [row.sample_id, row.extras, size, hashlib.sha256(end).hexdigest(), texts]
    return hashlib.sha256(json.dumps(kept).encode()).hexdigest()[:12]
