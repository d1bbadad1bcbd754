"""Running a depth model on the pictures of datasets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from tr2m_plugin.benchmark.conditions import DESCRIPTIONS
from tr2m_plugin.benchmark.datasets import Dataset
from tr2m_plugin.benchmark.estimators import Estimator, Maps, Returns
from tr2m_plugin.errors import InputError, MissingExtraError, attempt
from tr2m_plugin.evaluation.alignment import Alignment
from tr2m_plugin.rows import IndexRow
from tr2m_plugin.units import convert
from tr2m_plugin.workers import end_with_parent

Texts = Mapping[str, tuple[str, str]]
"""By the pictures' keys the sentence that each gets, and its right one, which says the unit of its depth."""


@dataclass
class Options:
    """How models are run and measured.

    Attributes:
        alignments: names of `ALIGNMENTS`; a metric model is measured without any too.
        descriptions: which sentences a model that takes them gets: names of `DESCRIPTIONS`.
        tables: see `find_texts`.
        text: see `find_texts`.
        wrong_text: see `choose_texts`.
        seed: seed of wrong and misspelt descriptions.
        size: `protocol`, `model`, or height and width at which models that take any size see the pictures.
        kind: kind of the numbers: reproduced or fixture. Default: each dataset's own, see `Dataset.kind`.
        save: whether predictions are kept as shards; those for a fit over a dataset always are.
        part: (k, n): every n-th image from the k-th on is predicted into shards, and nothing measured.
        batch_size: pictures at a time.
        workers: processes that read pictures.
        pictures: whether error maps are drawn.
        fit: datasets that fits over datasets are made on, for models whose numbers are read. Default: those that are
            measured.
        fitted_on: what results say those pictures are. Default: nothing.

    Raises:
        InputError: an alignment or a description does not exist.
    """

    alignments: Sequence[str] = ()
    descriptions: Sequence[str] = ("right",)
    tables: Sequence[Path] = ()
    text: str | None = None
    wrong_text: str | None = None
    seed: int = 0
    size: str | tuple[int, int] = "protocol"
    kind: str | None = None
    save: bool = False
    part: tuple[int, int] | None = None
    batch_size: int = 4
    workers: int = 0
    pictures: bool = True
    fit: Sequence[Dataset] | None = None
    fitted_on: str | None = None

    def __post_init__(self) -> None:
        for kind in self.alignments:
            Alignment(kind, "depth")
        unknown = sorted(set(self.descriptions) - set(DESCRIPTIONS))
        if unknown:
            raise InputError(f"descriptions are {', '.join(DESCRIPTIONS)}, not {', '.join(unknown)}")


class _Inputs:
    """Rows with what a model takes of them, read in the loader's processes; an unreadable one comes with the reason."""

    def __init__(self, estimator: Estimator, rows: Sequence[IndexRow]) -> None:
        self.read, self.rows = estimator.read, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> tuple[IndexRow, Any]:
        row, failed = self.rows[number], dict[str, str]()
        found = attempt(partial(self.read, row), row.sample_id, failed)
        return row, Unreadable(failed[row.sample_id]) if found is None else found


@dataclass(frozen=True)
class Unreadable:
    """What stands in the place of a picture that cannot be read: why."""

    reason: str


@dataclass
class Job:
    """One model on one dataset.

    Attributes:
        data: the dataset.
        rows: rows of the pictures that it is measured on.
        label: label of the model.
        returns: what its numbers mean.
        facts: what metrics.json says of the model.
        failed: why pictures could not be predicted, by sample id.
        foreign: see `Protocol.checked`.
    """

    data: Dataset
    rows: Sequence[IndexRow]
    label: str
    returns: Returns
    facts: Mapping[str, Any]
    failed: dict[str, str] = field(default_factory=dict)
    foreign: bool = False

    def left(self, rows: Sequence[IndexRow]) -> list[IndexRow]:
        """Rows of which nothing has failed yet."""
        return [row for row in rows if row.sample_id not in {**self.data.failed, **self.failed}]


def predict(
    estimator: Estimator, job: Job, rows: Sequence[IndexRow], texts: Texts, options: Options
) -> Iterator[tuple[IndexRow, np.ndarray]]:
    """Rows with the model's numbers, (h, w), a batch in memory at a time; what fails is noted in the job.

    Args:
        estimator: the model.
        job: what it is run for.
        rows: rows of the pictures.
        texts: see `Texts`.
        options: how.
    """
    size = _size(job, options)
    loader: Any = DataLoader(
        _Inputs(estimator, rows),  # type: ignore[arg-type]
        options.batch_size,
        num_workers=options.workers,
        collate_fn=list,
        worker_init_fn=end_with_parent,
    )
    for batch in loader:
        job.data.failed.update({row.sample_id: v.reason for row, v in batch if isinstance(v, Unreadable)})
        good = [(row, found) for row, found in batch if not isinstance(found, Unreadable)]
        try:
            found = _batch(estimator, job.data, good, texts, size)
        except MissingExtraError:
            raise
        except Exception:  # of one of them: one at a time
            each = [partial(_batch, estimator, job.data, [one], texts, size) for one in good]
            tried = [attempt(run, row.sample_id, job.failed) for run, (row, _) in zip(each, good, strict=True)]
            found = [pair for pairs in tried if pairs is not None for pair in pairs]
        yield from found


def maps_of(
    estimator: Estimator, job: Job, rows: Sequence[IndexRow], texts: Texts, options: Options
) -> dict[str, Maps]:
    """What is behind a model's numbers, by sample id; of models that rescale nothing, and where it fails, nothing.

    Args:
        estimator: see `predict`, as are the others.
        job: what it is run for.
        rows: rows of the pictures.
        texts: see `Texts`.
        options: how.
    """

    def one(row: IndexRow) -> list[Maps]:
        given = [texts[row.key][0]] if estimator.needs_text else []
        return estimator.maps([estimator.read(row)], given, _size(job, options), **_feeding(job.data))

    failed = dict[str, str]()  # said where it was predicted
    found = {row.sample_id: attempt(partial(one, row), row.sample_id, failed) for row in rows}
    return {sample: maps[0] for sample, maps in found.items() if maps}


def _size(job: Job, options: Options) -> Any:
    return {"protocol": job.data.protocol.input_size, "model": None}.get(str(options.size), options.size)


def _feeding(data: Dataset) -> dict[str, Any]:
    """How pictures are fed, for models that take it."""
    return {} if data.protocol.normalize else {"normalize": False}


def _batch(
    estimator: Estimator, data: Dataset, good: Sequence[tuple[IndexRow, Any]], texts: Texts, size: Any
) -> list[tuple[IndexRow, np.ndarray]]:
    if not good:
        return []
    images = [image for _, image in good]
    sentences = [texts[row.key] for row, _ in good] if estimator.needs_text else []
    given = [sentence for sentence, _ in sentences]
    how = _feeding(data)
    outputs = estimator.predict(images, given, size, **how)
    if data.protocol.flip_average:
        mirrored = estimator.predict([image[:, ::-1].copy() for image in images], given, size, **how)
        outputs = [(a + b[:, ::-1]) / 2 for a, b in zip(outputs, mirrored, strict=True)]
    if estimator.needs_text:
        units = [estimator.unit_of(right) for _, right in sentences]
        outputs = [convert(values, unit, data.unit) for values, unit in zip(outputs, units, strict=True)]
    return [(row, values) for (row, _), values in zip(good, outputs, strict=True)]
