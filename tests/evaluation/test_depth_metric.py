import numpy as np
import pytest
import torch
from mmengine.structures import PixelData

from tr2m_plugin.evaluation import Protocol, depth_metrics
from tr2m_plugin.evaluation.depth_metric import DepthMetric
from tr2m_plugin.structures import DepthDataSample


def sample(dataset, seed, empty=False):
    rng = np.random.default_rng(seed)
    truth = np.zeros((6, 8), np.float32) if empty else rng.uniform(0.2, 12, (6, 8)).astype(np.float32)
    pred = rng.uniform(0.2, 12, (3, 4)).astype(np.float32)
    out = DepthDataSample(metainfo={"dataset": dataset, "sample_id": f"{dataset}{seed}", "depth_range": (0.5, 10.0)})
    out.gt_depth_map = PixelData(data=torch.from_numpy(truth)[None])
    out.pred_depth_map = PixelData(data=torch.from_numpy(pred)[None])
    return out, depth_metrics(*Protocol((0.5, 10.0)).compare(pred, truth))


def test_means_over_images_then_over_datasets():
    made = [sample("a", 0), sample("a", 1), sample("b", 2), sample("b", 3, empty=True)]
    metric = DepthMetric(metrics=["abs_rel", "d1"])
    for batch in (made[:3], made[3:]):
        metric.process(None, [s.to_dict() for s, _ in batch])
    report = metric.evaluate(size=4)
    values = [v["abs_rel"] for _, v in made]
    assert report["a/abs_rel"] == pytest.approx(np.mean(values[:2]))
    assert report["b/abs_rel"] == pytest.approx(values[2])
    assert report["abs_rel"] == pytest.approx((np.mean(values[:2]) + values[2]) / 2)
    assert report["b/empty"] == 1
    assert "a/empty" not in report
    assert not any(np.isnan(v) for v in report.values())


def test_unknown_metric_is_named():
    with pytest.raises(ValueError, match="unknown metrics"):
        DepthMetric(metrics=["abs_rel", "sharpness"])
