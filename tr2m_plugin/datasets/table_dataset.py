"""The dataset that training and evaluation read: the pipeline's tables and shards, joined on the sample id."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from torch.utils.data import get_worker_info

from tr2m_plugin.datasets.arrays import find_arrays
from tr2m_plugin.datasets.parquet import (
    check_unique,
    dataset_names,
    read_rows,
    read_text_features,
)
from tr2m_plugin.datasets.readers import load_depth
from tr2m_plugin.datasets.transforms.loading import within
from tr2m_plugin.errors import InputError
from tr2m_plugin.registry import DATASETS
from tr2m_plugin.rows import ErrorRow, IndexRow, SentenceRow
from tr2m_plugin.workers import end_with_parent

LOOKED_AT = 8
"""Pictures of a dataset whose depth must not all be out of its range."""


def check_range(rows: Sequence[IndexRow]) -> None:
    """Raises an InputError for a dataset of which no depth is in its range, as with a wrong `depth_scale`.

    Args:
        rows: rows of the index, with paths that can be opened.
    """
    by_dataset: dict[str, list[IndexRow]] = defaultdict(list)
    for row in rows:
        if row.depth is not None:
            by_dataset[row.dataset].append(row)
    for name, found in by_dataset.items():
        outside: list[np.ndarray] = []
        for row in found[:: -(-len(found) // LOOKED_AT)]:
            low, high = row.depth_min, row.depth_max
            try:
                depth = load_depth(row)
            except InputError:  # `prepare_data` deals with it
                continue
            if within(depth, low, high).any():
                break
            outside.append(depth[np.isfinite(depth) & (depth > 0)])
        else:
            measured = np.concatenate([np.zeros(0), *outside])
            if measured.size:
                raise InputError(
                    f"{name}: no depth of {len(outside)} pictures is in the range [{low:g}, {high:g}] {row.unit}; "
                    f"their median is {np.median(measured):.4g}: correct depth_scale, unit or depth_range of the index"
                )


@DATASETS.register_module()
class TableDataset(BaseDataset):
    """Pictures of one split with depth, relative depth, sentences and their embeddings.

    Args:
        data_root: folder that holds `index.parquet` and, where they are asked for, `descriptions.parquet`,
            `text_features.parquet` and the folder `relative_depth` of shards, as the pipeline writes them.
        split: train, val or test. Default: train.
        datasets: names of the datasets to take. Default: all.
        relative_depth: folder of relative depth shards below the root, such as that of another network; None for
            models that take none. Default: relative_depth.
        text: whether pictures come with sentences. Default: True.
        image_features: folder of precomputed image features below the root. Default: none, the model encodes images.
        max_error_share: how large a share of a dataset's pictures may turn out unreadable. In training the next
            picture of the same dataset takes their place; in testing those whose depth alone is unreadable count as
            without measurements. Each is named in the log. Default: 0.2 in training, none in testing.
        **kwargs: options of MMEngine's `BaseDataset`, the transform pipeline among them.

    In training, depth outside a picture's `depth_min` to `depth_max` counts as not measured.

    Raises:
        InputError: a table is missing, the split is empty, or pictures lack a description or relative depth; the
            message says how many and names the first. Or no depth of a dataset to train on is in its range, or more
            pictures than `max_error_share` cannot be read.
    """

    def __init__(
        self,
        data_root: str,
        split: str = "train",
        datasets: Sequence[str] | None = None,
        relative_depth: str | None = "relative_depth",
        text: bool = True,
        image_features: str | None = None,
        max_error_share: float | None = None,
        **kwargs: Any,
    ) -> None:
        training = not kwargs.get("test_mode", False)
        self.max_error_share = (0.2 if training else 0.0) if max_error_share is None else max_error_share
        self._counts: Counter[str] = Counter()
        self._unreadable: dict[str, set[str]] = defaultdict(set)
        self.split, self.datasets = split, dataset_names(datasets)
        self.relative_depth, self.text, self.image_features = relative_depth, text, image_features
        super().__init__(ann_file="index.parquet", data_root=data_root, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """One dictionary per picture: its row of the index, `dataset`, `texts`, `text_rows` and array references."""
        root = Path(self.data_root)
        rows = read_rows(self.ann_file, IndexRow)
        check_unique(rows, self.ann_file)
        rows = [r for r in rows if r.split == self.split and (not self.datasets or r.dataset in self.datasets)]
        rows = self._without_errors(rows, root)
        if not rows:
            wanted = f" of {', '.join(self.datasets)}" if self.datasets else ""
            raise InputError(f"{self.ann_file} lists no picture{wanted} in the split {self.split!r}")
        self._counts = Counter(row.dataset for row in rows)
        if not self.test_mode:
            check_range([row.resolved(root) for row in rows])
        relative = self._arrays(rows, root, self.relative_depth, "relative depth")
        tokens = self._arrays(rows, root, self.image_features, "image features")
        texts, sources, text_rows = self._texts(rows, root) if self.text else ({}, {}, {})
        return [
            {
                "dataset": row.dataset,
                "row": row.resolved(root),
                "relative_depth": relative.get(row.key),
                "image_features": tokens.get(row.key),
                "texts": texts.get(row.key),
                "text_sources": sources.get(row.key),
                "text_rows": [text_rows[text] for text in texts.get(row.key, ())],
            }
            for row in rows
        ]

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """One picture's dictionary, with the embeddings of its sentences as `text_features`, (sentences, T)."""
        if get_worker_info() is not None:
            end_with_parent()  # here, since MMEngine's loaders seed their workers by a function of their own
        info = super().get_data_info(idx)
        if not self.test_mode:
            info["truth_range"] = (info["row"].depth_min, info["row"].depth_max)
        rows = info.pop("text_rows")
        if rows:
            info["text_features"] = self._text_features[rows]
        return info

    def prepare_data(self, idx: int) -> Any:
        """One picture through the transforms, or what takes its place where it cannot be read."""
        first = self.get_data_info(idx)
        if self.test_mode:
            try:
                return self.pipeline(first)
            except InputError as error:
                self._skip(first, error)
                info = self.get_data_info(idx)
            return self.pipeline({**info, "row": replace(info["row"], depth=None)})
        for step in range(len(self)):
            info = self.get_data_info((idx + step) % len(self))
            # Batches hold pictures of one dataset, whose sizes agree.
            if info["dataset"] != first["dataset"] or info["row"].key in self._unreadable[info["dataset"]]:
                continue
            try:
                return self.pipeline(info)
            except InputError as error:
                self._skip(info, error)
        raise InputError(f"no picture of {first['dataset']} in {self.ann_file} can be read")

    def _skip(self, info: dict[str, Any], error: InputError) -> None:
        """Counts a picture that cannot be read, and ends where there are too many."""
        name = info["dataset"]
        unreadable, count = self._unreadable[name], self._counts[name]
        unreadable.add(info["row"].key)
        if len(unreadable) > self.max_error_share * count:
            if not self.max_error_share:
                raise error
            raise InputError(
                f"{len(unreadable)} of {count} pictures of {name} cannot be read, more than the share of "
                f"{self.max_error_share:g} that may (max_error_share); the last: {error}"
            ) from error
        message = f"skipped: {info['row'].key} ({error}); {len(unreadable)} of {count} pictures of {name} so far"
        print_log(message, "current", logging.WARNING)

    def _without_errors(self, rows: list[IndexRow], root: Path) -> list[IndexRow]:
        """The rows without those that the pipeline could not compute relative depth of."""
        if self.relative_depth is None:
            return rows
        path = root / self.relative_depth / "errors.parquet"
        bad = {line.key: line.reason for line in read_rows(path, ErrorRow)} if path.is_file() else {}
        for row in rows:
            if row.key in bad:
                print_log(f"left out: {row.key} ({bad[row.key]})", "current", logging.WARNING)
        return [row for row in rows if row.key not in bad]

    def _arrays(self, rows: Sequence[IndexRow], root: Path, folder: str | None, what: str) -> dict[str, str]:
        if folder is None:
            return {}
        found = find_arrays(root / folder)
        self._require(rows, found, what, root / folder)
        return found

    def _texts(
        self, rows: Sequence[IndexRow], root: Path
    ) -> tuple[dict[str, list[str]], dict[str, list[str]], dict[str, int]]:
        """The sentences of every picture, their sources, and the row of each sentence in `self._text_features`."""
        texts: dict[str, list[str]] = defaultdict(list)
        sources: dict[str, list[str]] = defaultdict(list)
        for line in read_rows(root / "descriptions.parquet", SentenceRow):
            texts[line.key].append(line.text)
            sources[line.key].append(line.source)
        # One array for all: every picture has several sentences of many numbers.
        text_rows, self._text_features = read_text_features(root / "text_features.parquet")
        self._require(rows, texts, "description", root / "descriptions.parquet")
        used = {text for row in rows for text in texts[row.key]}
        unknown = sorted(used - text_rows.keys())
        if unknown:
            raise InputError(f"{root / 'text_features.parquet'} lacks {len(unknown)} sentences, such as {unknown[0]!r}")
        return texts, sources, text_rows

    @staticmethod
    def _require(rows: Sequence[IndexRow], held: Any, what: str, where: Path) -> None:
        missing = [row.key for row in rows if row.key not in held]
        if missing:
            raise InputError(f"{len(missing)} of {len(rows)} pictures have no {what} in {where}, such as {missing[0]}")
