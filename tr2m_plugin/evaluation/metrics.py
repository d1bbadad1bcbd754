"""The field's depth metrics, per image (paper, Table 6)."""

from __future__ import annotations

import numpy as np

METRICS = ("d1", "d2", "d3", "abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "silog")
"""Names of the metrics; d1, d2 and d3 are shares (higher is better), the others errors."""

HIGHER_IS_BETTER = frozenset({"d1", "d2", "d3"})


def depth_metrics(pred: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """All metrics of one image.

    log10 is the mean absolute difference of decimal logarithms, as every code base computes it (the paper's Table 6
    prints a square). silog is 100 · sqrt(mean(ε²) − mean(ε)²) with ε the difference of natural logarithms, as KITTI's
    benchmark defines it.

    Args:
        pred: predicted depth of the valid pixels, (N,), positive.
        truth: true depth of the same pixels, (N,), positive.

    Returns:
        A value per name of `METRICS`; NaN throughout when there is no pixel.
    """
    if pred.shape != truth.shape:
        raise ValueError(f"prediction has the shape {pred.shape}, truth {truth.shape}")
    if not pred.size:
        return dict.fromkeys(METRICS, float("nan"))
    pred, truth = pred.astype(np.float64), truth.astype(np.float64)
    ratio = np.maximum(pred / truth, truth / pred)
    error, log_error = pred - truth, np.log(pred) - np.log(truth)
    values = {
        "d1": (ratio < 1.25).mean(),
        "d2": (ratio < 1.25**2).mean(),
        "d3": (ratio < 1.25**3).mean(),
        "abs_rel": (np.abs(error) / truth).mean(),
        "sq_rel": (error**2 / truth).mean(),
        "rmse": np.sqrt((error**2).mean()),
        "rmse_log": np.sqrt((log_error**2).mean()),
        "log10": np.abs(log_error).mean() / np.log(10),
        "silog": 100 * np.sqrt(max((log_error**2).mean() - log_error.mean() ** 2, 0)),
    }
    return {name: float(value) for name, value in values.items()}
