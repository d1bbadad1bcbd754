"""Depth metrics during training and testing with MMEngine's runner."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.dist import all_gather_object
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from tr2m_plugin.errors import InputError
from tr2m_plugin.evaluation.measuring import measure
from tr2m_plugin.evaluation.metrics import METRICS
from tr2m_plugin.evaluation.protocols import protocol_of_sample
from tr2m_plugin.registry import METRICS as REGISTRY


@REGISTRY.register_module()
class DepthMetric(BaseMetric):
    """Metrics per image, then mean over the images of each dataset, then mean over the datasets.

    Every image is measured by the protocol that its row of the index names, or by the row's range; averaging with the
    mirror image is up to the model. Results are named `{dataset}/{metric}`, and
    `{metric}` for the mean over datasets; `{dataset}/images` were measured, of which `{dataset}/empty` had no valid
    pixel and are left out of the means. Predictions that are not finite where the truth counts are warned of and stay
    in the means, clamped, so that the best checkpoint is none that fails. In distributed evaluation an image counts
    once, whichever processes saw it.

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
        self._failed: list[str] = []

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Measures a batch of samples with `gt_depth_map` and `pred_depth_map`."""
        for sample in data_samples:
            truth = sample["gt_depth_map"]["data"][0].cpu().numpy()
            pred = sample["pred_depth_map"]["data"][0].float().cpu().numpy()
            protocol = protocol_of_sample(sample)
            try:
                protocol.checked(pred, truth)
            except InputError as error:
                self._failed.append(f"{sample['dataset']}/{sample['sample_id']}: {error}")
            found = measure(pred, truth, protocol)
            numbers = [np.nan if found[name] is None else found[name] for name in (*METRICS, "pixels")]
            self.results.append((sample["dataset"], sample["sample_id"], numbers))

    def evaluate(self, size: int) -> dict[str, float]:
        """The report over all processes.

        MMEngine's own collection takes equally many results from each process and cuts what is over by position; here
        results are joined by the images' names.

        Args:
            size: size of the dataset; not needed.
        """
        if self._failed:
            found = f"{len(self._failed)} predictions count as clamped, the first {self._failed[0]}"
            MMLogger.get_current_instance().warning(found)
            self._failed.clear()
        gathered = all_gather_object(self.results)
        report = self.compute_metrics([result for results in gathered for result in results])
        self.results.clear()
        return {f"{self.prefix}/{name}" if self.prefix else name: value for name, value in report.items()}

    def compute_metrics(self, results: list[tuple[str, str, list[float]]]) -> dict[str, float]:
        """Means over images, then over datasets."""
        by_dataset: dict[str, dict[str, list[float]]] = defaultdict(dict)
        for dataset, sample, numbers in results:
            by_dataset[dataset].setdefault(sample, numbers)
        report: dict[str, float] = {}
        columns = [METRICS.index(name) for name in self.metrics]
        means = []
        for dataset, rows in sorted(by_dataset.items()):
            table = np.array(list(rows.values()))
            empty = table[:, -1] == 0
            report[f"{dataset}/images"] = float(len(table))  # of whole numbers MMEngine's JSON has null
            if empty.any():
                report[f"{dataset}/empty"] = float(empty.sum())
                MMLogger.get_current_instance().warning(f"{dataset}: {empty.sum()} images have no valid depth")
            if not empty.all():
                means.append(table[~empty][:, columns].mean(0))
                report |= {f"{dataset}/{name}": float(v) for name, v in zip(self.metrics, means[-1], strict=True)}
        if means:
            report |= {name: float(v) for name, v in zip(self.metrics, np.mean(means, 0), strict=True)}
        return report
