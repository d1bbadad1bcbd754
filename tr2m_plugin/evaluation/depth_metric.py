"""Depth metrics during training and testing with MMEngine's runner."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from tr2m_plugin.evaluation.metrics import METRICS, depth_metrics
from tr2m_plugin.evaluation.protocols import Protocol
from tr2m_plugin.registry import METRICS as REGISTRY


@REGISTRY.register_module()
class DepthMetric(BaseMetric):
    """Metrics per image, then mean over the images of each dataset, then mean over the datasets.

    Keeps a handful of numbers per image. Results are named `{dataset}/{metric}`, and `{metric}` for the mean over
    datasets; images without a valid pixel are counted as `{dataset}/empty` and left out of the means.

    Args:
        metrics: names to report. Default: all of `METRICS`.
        **kwargs: options of MMEngine's `BaseMetric`.
    """

    def __init__(self, metrics: Sequence[str] = METRICS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        unknown = set(metrics) - set(METRICS)
        if unknown:
            raise ValueError(f"unknown metrics {sorted(unknown)}; there are {', '.join(METRICS)}")
        self.metrics = tuple(metrics)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Measures a batch of samples with `gt_depth_map` and `pred_depth_map`."""
        for sample in data_samples:
            truth = sample["gt_depth_map"]["data"][0].cpu().numpy()
            pred = sample["pred_depth_map"]["data"][0].float().cpu().numpy()
            values = depth_metrics(*Protocol(sample["depth_range"]).compare(pred, truth))
            self.results.append((sample["dataset"], [values[name] for name in self.metrics]))

    def compute_metrics(self, results: list[tuple[str, list[float]]]) -> dict[str, float]:
        """Means over images, then over datasets."""
        by_dataset: dict[str, list[list[float]]] = defaultdict(list)
        for dataset, values in results:
            by_dataset[dataset].append(values)
        report: dict[str, float] = {}
        means = []
        for dataset, rows in sorted(by_dataset.items()):
            table = np.array(rows)
            empty = np.isnan(table).any(1)
            if empty.any():
                report[f"{dataset}/empty"] = int(empty.sum())
                MMLogger.get_current_instance().warning(f"{dataset}: {empty.sum()} images have no valid depth")
            if not empty.all():
                means.append(table[~empty].mean(0))
                report |= {f"{dataset}/{name}": float(v) for name, v in zip(self.metrics, means[-1], strict=True)}
        if means:
            report |= {name: float(v) for name, v in zip(self.metrics, np.mean(means, 0), strict=True)}
        return report
