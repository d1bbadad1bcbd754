import math

import numpy as np
import pytest

from tr2m_plugin.evaluation import METRICS, depth_metrics


def twin(pred, truth):
    """Table 6, pixel by pixel; log10 with the absolute value, silog as KITTI defines it."""
    n = len(truth)
    pairs = list(zip(pred.tolist(), truth.tolist(), strict=True))
    ratios = [max(p / t, t / p) for p, t in pairs]
    logs = [math.log(p) - math.log(t) for p, t in pairs]
    return {
        "d1": sum(r < 1.25 for r in ratios) / n,
        "d2": sum(r < 1.25**2 for r in ratios) / n,
        "d3": sum(r < 1.25**3 for r in ratios) / n,
        "abs_rel": sum(abs(p - t) / t for p, t in pairs) / n,
        "sq_rel": sum((p - t) ** 2 / t for p, t in pairs) / n,
        "rmse": math.sqrt(sum((p - t) ** 2 for p, t in pairs) / n),
        "rmse_log": math.sqrt(sum(e * e for e in logs) / n),
        "log10": sum(abs(math.log10(p) - math.log10(t)) for p, t in pairs) / n,
        "silog": 100 * math.sqrt(sum(e * e for e in logs) / n - (sum(logs) / n) ** 2),
    }


def test_equal_the_formulas():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.5, 10, 300).astype(np.float32)
    pred = (truth * rng.uniform(0.5, 1.8, 300)).astype(np.float32)
    values, expected = depth_metrics(pred, truth), twin(pred, truth)
    assert set(values) == set(METRICS)
    for name in METRICS:
        assert values[name] == pytest.approx(expected[name], rel=1e-9), name


def test_a_perfect_prediction():
    truth = np.linspace(1, 5, 20)
    values = depth_metrics(truth, truth)
    assert [values[f"d{n}"] for n in (1, 2, 3)] == [1, 1, 1]
    assert all(values[name] == 0 for name in METRICS if name[0] != "d")


def test_silog_ignores_a_factor():
    truth = np.linspace(1, 5, 20)
    assert depth_metrics(3 * truth, truth)["silog"] == pytest.approx(0, abs=1e-5)


def test_no_pixel_gives_nan_and_other_shapes_an_error():
    assert all(math.isnan(v) for v in depth_metrics(np.zeros(0), np.zeros(0)).values())
    with pytest.raises(ValueError, match="shape"):
        depth_metrics(np.ones(3), np.ones(4))
