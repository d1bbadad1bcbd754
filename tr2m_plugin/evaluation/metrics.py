"""The field's depth metrics, per image (paper, Table 6)."""

from __future__ import annotations

import numpy as np
import torch

METRICS = ("d1", "d2", "d3", "abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "silog")
"""Names of the metrics; d1, d2 and d3 are shares (higher is better), the others errors."""

HIGHER_IS_BETTER = frozenset({"d1", "d2", "d3"})

Array = np.ndarray | torch.Tensor


def depth_metrics(pred: Array, truth: Array) -> dict[str, float]:
    """All metrics of one image.

    log10 is the mean absolute difference of decimal logarithms, as every code base computes it (the paper's Table 6
    prints a square). silog is 100 · sqrt(mean(ε²) − mean(ε)²) with ε the difference of natural logarithms, as KITTI's
    benchmark defines it.

    Args:
        pred: predicted depth of the valid pixels, (N,), positive; NumPy, or torch on any device.
        truth: true depth of the same pixels, (N,), positive.

    Returns:
        A value per name of `METRICS`, computed in double precision; NaN throughout when there is no pixel.
    """
    if pred.shape != truth.shape:
        raise ValueError(f"prediction has the shape {tuple(pred.shape)}, truth {tuple(truth.shape)}")
    if not len(pred):
        return dict.fromkeys(METRICS, float("nan"))
    # Torch's elementwise functions are several times faster than NumPy's on one core.
    p, t = torch.as_tensor(pred).double(), torch.as_tensor(truth).double()
    ratio, error = p / t, p - t
    log_error = ratio.log()
    factor = torch.maximum(ratio, 1 / ratio)
    relative = (error / t).abs()
    square, log_square = (error * error).mean(), (log_error * log_error).mean()
    values = [
        *[(factor < 1.25**power).double().mean() for power in (1, 2, 3)],
        relative.mean(),
        (relative * error.abs()).mean(),
        square.sqrt(),
        log_square.sqrt(),
        log_error.abs().mean() / np.log(10),
        100 * (log_square - log_error.mean() ** 2).clamp(min=0).sqrt(),
    ]
    return dict(zip(METRICS, torch.stack(values).tolist(), strict=True))
