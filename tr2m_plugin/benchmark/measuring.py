"""Measuring a model's numbers on datasets: as they are, and aligned with the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from tqdm import tqdm

from tr2m_plugin.benchmark.estimators import Maps
from tr2m_plugin.benchmark.results import image_row, pick_examples
from tr2m_plugin.benchmark.run import Job
from tr2m_plugin.datasets.readers import load_depth
from tr2m_plugin.errors import InputError, attempt
from tr2m_plugin.evaluation.alignment import ALIGNMENTS, Alignment
from tr2m_plugin.evaluation.measuring import measure
from tr2m_plugin.rows import IndexRow
from tr2m_plugin.structures import Space

Source = Callable[[Sequence[IndexRow]], Iterator[tuple[IndexRow, np.ndarray]]]
"""Gives a model's numbers for rows; rows without come not at all."""


@dataclass(frozen=True)
class Rescaled:
    """How a model rescaled the relative depth of the pictures that are shown.

    Attributes:
        label: label of the model.
        maps: by sample id what its depth was made of.
        texts: by sample id the sentence that it was given; empty for models that take none.
    """

    label: str
    maps: Mapping[str, Maps]
    texts: Mapping[str, str]


@dataclass
class Measured:
    """What an evaluation has found so far.

    Attributes:
        rows: rows of the table per image.
        methods: what is said of each method.
        failed: why pictures have no number, by method and dataset, then by sample id.
        picks: by dataset and rank the rows of the pictures that are shown.
        depths: by dataset and sample id of those, each method's depth.
        rescaled: by dataset how the first model that rescales relative depth did it on those.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    methods: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    picks: dict[str, dict[str, IndexRow]] = field(default_factory=dict)
    depths: dict[tuple[str, str], dict[str, np.ndarray]] = field(default_factory=dict)
    rescaled: dict[str, Rescaled] = field(default_factory=dict)


class Alignments:
    """A model's alignments by method, those of one dataset apart from another's, those of all datasets shared.

    Args:
        methods: see `methods_of`.
        returns: what the model's numbers are.
    """

    def __init__(self, methods: Mapping[str, str | None], returns: Space) -> None:
        self.methods, self.returns = methods, returns
        self._known: dict[tuple[str, str], Alignment] = {}

    def of(self, dataset: str) -> dict[str, Alignment | None]:
        """The alignments of a dataset's pictures, by method; None for metric numbers."""
        return {method: None if kind is None else self._get(kind, dataset) for method, kind in self.methods.items()}

    def _get(self, kind: str, dataset: str) -> Alignment:
        made = Alignment(kind, self.returns)
        return self._known.setdefault((kind, "" if made.over_all else dataset), made)


def methods_of(label: str, metric: bool, alignments: Sequence[str]) -> dict[str, str | None]:
    """Method names with their alignment: the metric model itself, then every alignment asked for.

    Raises:
        InputError: there is none.
    """
    methods: dict[str, str | None] = {label: None} if metric else {}
    methods |= {f"{label} {ALIGNMENTS[kind].label.lower()}": kind for kind in alignments}
    if not methods:
        raise InputError(f"{label} gives affine-invariant numbers: choose how to align them with --alignment")
    return methods


class Measurement:
    """One model on one dataset.

    Args:
        job: the model and the dataset.
        source: its numbers.
        alignments: by method how its numbers are aligned, None for metric ones; those of all datasets are shared.
    """

    def __init__(self, job: Job, source: Source, alignments: Mapping[str, Alignment | None]) -> None:
        self.job, self.source, self.data, self.alignments = job, source, job.data, alignments

    def fit(self) -> None:
        """Takes the pictures into the fits over datasets."""
        over = [a for a in self.alignments.values() if a is not None and a.over_dataset]
        if not over:
            return
        for _, values, truth in self.compared(self.job.rows, "fit"):
            x, valid = self.data.protocol.at_size_of(values, truth), self.data.protocol.valid(truth)
            for alignment in over:
                alignment.add(x, truth, valid)

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows of the table per image."""
        methods = self.methods()

        def numbers(row: IndexRow, values: np.ndarray, truth: np.ndarray) -> list[dict[str, Any]]:
            found = {method: self.depth(method, values, truth) for method in methods}
            protocol, name = self.data.protocol, row.sample_id
            return [image_row(m, self.data.name, name, measure(map_, truth, protocol)) for m, map_ in found.items()]

        for row, values, truth in self.compared(self.job.rows, self.job.label):
            yield from attempt(partial(numbers, row, values, truth), row.sample_id, self.job.failed) or []

    def methods(self) -> list[str]:
        """The methods that can be measured: a fit over a dataset needs to have seen some of its pictures."""
        return [method for method, a in self.alignments.items() if a is None or a.fitted]

    def compared(self, rows: Sequence[IndexRow], what: str) -> Iterator[tuple[IndexRow, np.ndarray, np.ndarray]]:
        """Rows with the model's numbers and the truth, with a bar; what fails is noted in the job or its dataset.

        Args:
            rows: rows of the pictures.
            what: is done, for the bar.
        """
        job, data = self.job, self.data
        there = job.left(rows)
        bar = tqdm(self.source(there), total=len(there), desc=f"{data.name}, {what}", unit="picture", mininterval=1)
        for row, values in bar:
            truth = attempt(partial(load_depth, row), row.sample_id, data.failed)
            if truth is None:
                continue
            check = partial(data.protocol.checked, values, truth, job.foreign)
            if attempt(check, row.sample_id, job.failed) is not None:
                yield row, values, truth

    def depth(self, method: str, values: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """A method's depth of a picture, in the dataset's unit."""
        alignment, protocol = self.alignments[method], self.data.protocol
        if alignment is None:
            return self.job.returns.depth(values, self.data.unit)
        return alignment.apply(protocol.at_size_of(values, truth), truth, protocol.valid(truth))

    def show(self, found: Measured, measured: Sequence[Mapping[str, Any]]) -> None:
        """Keeps each method's depth of the pictures that are shown, which the first model on a dataset chooses.

        Args:
            found: so far.
            measured: this measurement's rows of the table per image.
        """
        data, methods = self.data, self.methods()
        if data.name not in found.picks:
            by_id = {row.sample_id: row for row in data.rows}
            first = pick_examples(measured, methods[0]) if methods else {}
            if data.name not in first:
                return
            found.picks[data.name] = {rank: by_id[one["sample_id"]] for rank, one in first[data.name].items()}
        known = {row.sample_id for row in self.job.rows}
        shown = {row.sample_id: row for row in found.picks[data.name].values() if row.sample_id in known}
        for row, values, truth in self.compared(list(shown.values()), "examples"):
            for method in methods:
                depth = data.protocol.clamped(data.protocol.at_size_of(self.depth(method, values, truth), truth))
                found.depths.setdefault((data.name, row.sample_id), {})[method] = depth
