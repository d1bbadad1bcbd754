import json

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.structures import PixelData

from tr2m_plugin.evaluation import Protocol, depth_metrics, load_protocol
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


def test_ten_numbers_are_kept_per_image():
    metric = DepthMetric()
    made, _ = sample("a", 0)
    metric.process(None, [made.to_dict()])
    ((dataset, name, numbers),) = metric.results
    assert (dataset, name, len(numbers)) == ("a", "a0", 10)


def test_predictions_that_are_not_finite_are_warned_of(monkeypatch):
    warned = []
    monkeypatch.setattr(MMLogger.get_current_instance(), "warning", warned.append)
    (good, numbers), (bad, _) = sample("a", 0), sample("a", 1)
    bad.pred_depth_map.data[:] = float("nan")
    metric = DepthMetric(metrics=["abs_rel"])
    metric.process(None, [good.to_dict(), bad.to_dict()])
    report = metric.evaluate(2)
    assert (report["a/images"], np.isfinite(report["abs_rel"])) == (2, True)
    assert report["abs_rel"] != pytest.approx(numbers["abs_rel"]), "it stays in the mean"
    (line,) = warned
    assert line.startswith("1 predictions count as clamped, the first a/a1: none of the ")


def test_the_rows_protocol_measures():
    made, _ = sample("nyu", 0)
    rng = np.random.default_rng(1)
    made.gt_depth_map = PixelData(data=torch.from_numpy(rng.uniform(0.2, 12, (1, 480, 640)).astype(np.float32)))
    made.set_metainfo({"protocol": "release"})
    metric = DepthMetric()
    metric.process(None, [made.to_dict()])
    truth, pred = made.gt_depth_map.data[0].numpy(), made.pred_depth_map.data[0].numpy()
    expected = depth_metrics(*load_protocol("release", "nyu").compare(pred, truth))
    assert metric.evaluate(1)["nyu/abs_rel"] == pytest.approx(expected["abs_rel"])


SCRIPT = """
import json, sys
import torch.distributed as dist

sys.path[:0] = [{repository!r}, {here!r}]
dist.init_process_group("gloo")
from test_depth_metric import sample
from tr2m_plugin.evaluation.depth_metric import DepthMetric

rank = dist.get_rank()
seen = [[0, 2, 4], [1, 3, 0]][rank]  # five images on two processes: the first is padding too
if {uneven}:
    seen = [[0, 2, 4], [1, 3]][rank]
metric = DepthMetric(metrics=["abs_rel"])
metric.process(None, [sample("a", number)[0].to_dict() for number in seen])
report = metric.evaluate(size=5)
open({out!r} + f"/rank{{rank}}.json", "w").write(json.dumps(report))
dist.barrier()
dist.destroy_process_group()
"""


@pytest.mark.parametrize("uneven", [False, True])
def test_two_processes_count_every_image_once(tmp_path, repository, two_processes, uneven):
    here = str(repository / "tests" / "evaluation")
    two_processes(SCRIPT.format(repository=str(repository), here=here, out=str(tmp_path), uneven=uneven))
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2))
    assert first == second
    assert first["a/images"] == 5
    assert first["abs_rel"] == pytest.approx(np.mean([sample("a", number)[1]["abs_rel"] for number in range(5)]))
