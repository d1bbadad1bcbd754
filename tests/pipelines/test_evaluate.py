import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipelines import evaluate, report
from pipelines.evaluate import METHODS, _measured, _report_failures, choose_texts
from pipelines.params import Stage
from pipelines.samples import Samples
from tr2m_plugin.benchmark.results import PER_IMAGE
from tr2m_plugin.datasets.parquet import ERRORS, INDEX, read_table, sample_key, write_table
from tr2m_plugin.errors import InputError
from tr2m_plugin.evaluation import METRICS
from tr2m_plugin.weights import resolve_pretrained

BAD = [("rooms", "train"), ("rooms", "test")]
"""Of whose pictures the first gets depth that cannot be read."""
PARAMS = {"batch_size": 4, "device": "cpu", "kind": "fixture", "seed": 0}


@pytest.fixture(scope="module")
def evaluated(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluated")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        evaluate.stage(Stage("test", PARAMS, trained))
        report.stage(Stage("test", {"title": "A title", "note": "a <note>"}, trained))
    return folder


def test_metrics_are_method_dataset_metric(evaluated):
    metrics = json.loads((evaluated / "metrics.json").read_text())
    assert set(metrics) == set(METHODS) - {"before"}, "it was not fine-tuned"
    for method, entry in metrics.items():
        assert entry["kind"] == "fixture"
        assert entry["uses_ground_truth"] is METHODS[method]
    assert set(metrics["tr2m"]["rooms"]) == {*METRICS, "images", "empty", "unit", "protocol", "protocol_hash", "kind"}
    assert metrics["tr2m"]["rooms"]["images"] == 4
    assert metrics["tr2m"]["colons"]["unit"] == "mm"
    assert "hallway" in metrics["global_fit"]
    assert "hallway" not in metrics["domain_fit"], "nothing of that kind was trained on"
    for dataset in ("rooms", "colons", "miniatures", "hallway"):
        assert metrics["linear_fit"][dataset]["abs_rel"] < metrics["global_fit"][dataset]["abs_rel"]


def test_means_are_those_of_the_table_per_image(evaluated, trained):
    metrics = json.loads((evaluated / "metrics.json").read_text())
    rows = read_table(trained / "evaluation" / "per_image.parquet", PER_IMAGE)
    values = [r["d1"] for r in rows if r["method"] == "tr2m" and r["dataset"] == "colons"]
    assert metrics["tr2m"]["colons"]["d1"] == pytest.approx(np.mean(values))


def test_the_page_opens_from_disk_and_shows_every_dataset(evaluated):
    page = (evaluated / "report" / "index.html").read_text()
    assert "A title" in page
    assert "a &lt;note&gt;" in page
    assert "http" not in page, "nothing is fetched"
    for dataset in ("rooms", "colons", "miniatures", "hallway"):
        assert f'id="{dataset}"' in page
        ranks = ("best", "worst") if dataset in ("miniatures", "hallway") else ("best", "median", "worst")
        assert re.findall(rf"images/{dataset}_(\w+).png", page) == list(ranks), "as many as there are, each once"
    linked = {line.split('"')[1] for line in page.split("src=")[1:] for line in [f"x={line}"]}
    assert all((evaluated / "report" / name).is_file() for name in linked)
    assert page.count("uses ground truth") >= 8


def test_every_result_says_how_it_was_made(evaluated):
    for method, entry in json.loads((evaluated / "metrics.json").read_text()).items():
        assert entry["version"]
        assert (len(entry.get("weights", "")) == 12) is method.startswith("tr2m")
        assert entry["rooms"]["protocol"] == "range"
        assert entry["rooms"]["protocol_hash"] != entry["colons"]["protocol_hash"], "their ranges differ"


def test_the_model_before_fine_tuning_has_a_row_of_its_own(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    root = shutil.copytree(trained, tmp_path / "copy")
    rows = read_table(root / "index.parquet", INDEX)
    write_table(root / "index.parquet", INDEX, [row for row in rows if row["dataset"] == "miniatures"])
    config = json.loads((root / "model" / "config.json").read_text())

    def measured(start, weights):
        content = {**config, "about": {"load_from": str(start)}}
        (root / "model" / "config.json").write_text(json.dumps(content))
        shutil.copy(weights / "model.safetensors", root / "model" / "model.safetensors")
        evaluate.stage(Stage("test", PARAMS, root))
        return json.loads((tmp_path / "metrics.json").read_text())

    mini = Path(resolve_pretrained("tr2m_mini"))
    tuned = measured("tr2m_mini", trained / "model")
    start = measured(tmp_path / "no.pth", mini)
    assert tuned["before"]["label"] == "TR2M before fine-tuning"
    assert tuned["before"]["weights"] == start["tr2m"]["weights"] != tuned["tr2m"]["weights"]
    assert tuned["before"]["miniatures"] == start["tr2m"]["miniatures"] != tuned["tr2m"]["miniatures"]
    assert tuned["before"]["about"] == tuned["tr2m"]["about"]
    assert "before" not in start
    assert "no row of the model before fine-tuning: train.load_from: " in capsys.readouterr().err


def test_one_domain_takes_the_stand_in():
    rows = [{"domain": "in", "texts": ["a"]}]
    assert choose_texts(rows, 0, stand_in=True)["tr2m_wrong_domain_text"] == {0: None}
    assert choose_texts(rows, 0, stand_in=False)["tr2m_wrong_domain_text"] == {}


def test_a_protocol_with_mirror_images_is_refused(trained, tmp_path, monkeypatch):
    (tmp_path / "flip").mkdir()
    (tmp_path / "flip" / "rooms.yaml").write_text("{depth_range: [0.1, 10], flip_average: true}")
    root = shutil.copytree(trained, tmp_path / "copy")
    rows = read_table(root / "index.parquet", INDEX)
    named = [{**row, "protocol": str(tmp_path / "flip") if row["dataset"] == "rooms" else None} for row in rows]
    write_table(root / "index.parquet", INDEX, named)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="of rooms averages with the mirror image"):
        evaluate.stage(Stage("test", PARAMS, root))


def test_depth_that_cannot_be_read_is_a_row_with_its_reason(evaluated, trained, tmp_path, monkeypatch, capsys):
    before = read_table(trained / "evaluation" / "per_image.parquet", PER_IMAGE)
    root = shutil.copytree(trained, tmp_path / "copy")
    (tmp_path / "cut.png").write_bytes(b"\x89PNG")
    rows = read_table(root / "index.parquet", INDEX)
    bad = [next(sample_key(r) for r in rows if (r["dataset"], r["split"]) == of) for of in BAD]
    rows = [{**r, "depth": str(tmp_path / "cut.png")} if sample_key(r) in bad else r for r in rows]
    write_table(root / "index.parquet", INDEX, rows)
    monkeypatch.chdir(tmp_path)
    evaluate.stage(Stage("test", PARAMS, root))
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    for method in ("tr2m", "median"):
        assert (metrics[method]["rooms"]["images"], metrics[method]["rooms"]["failed"]) == (3, 1)
        assert (metrics[method]["colons"]["images"], metrics[method]["colons"].get("failed")) == (3, None)
    after = read_table(root / "evaluation" / "per_image.parquet", PER_IMAGE)
    for method in ("median", "linear_fit"):
        kept = [r for r in before if r["method"] == method and sample_key(r) not in bad]
        assert [r for r in after if r["method"] == method] == kept, "the others' numbers are what they were"
    (error,) = read_table(root / "evaluation" / "errors.parquet", ERRORS)
    assert sample_key(error) == bad[1]
    assert "cut.png is not a depth map" in error["reason"]
    assert f"evaluate: {bad[1]}: " in capsys.readouterr().err
    assert ", 1 failed" in (root / "evaluation" / "dataset_rooms.md").read_text()
    with pytest.raises(InputError, match=r"1 of 11 pictures failed; .*errors.parquet says why"):
        _report_failures(root / "evaluation", {"": {bad[1]: "why"}, "tr2m": {}}, 11, 0.05)


def test_a_prediction_that_is_not_finite_is_its_methods_failure(world):
    sample = Samples(world, "test")[0]["data_samples"]
    failed = {"tr2m": {}, "median": {}}
    depth = np.full(sample.relative_depth_map.shape, 2.0, np.float32)
    assert len(_measured("tr2m", sample, depth, failed)) == 1
    depth[:] = np.nan
    assert _measured("tr2m", sample, depth, failed) == []
    ((key, reason),) = failed["tr2m"].items()
    assert key == f"{sample.dataset}/{sample.sample_id}"
    assert reason.endswith("predicted numbers that count is finite")
    assert not failed["median"]


def test_pictures_without_depth_are_refused(trained, tmp_path, monkeypatch):
    root = shutil.copytree(trained, tmp_path / "copy")
    rows = read_table(root / "index.parquet", INDEX)
    write_table(root / "index.parquet", INDEX, [{**row, "depth": None} for row in rows])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="pictures without depth"):
        evaluate.stage(Stage("test", PARAMS, root))
    assert not (tmp_path / "metrics.json").exists()


def test_an_earlier_runs_failures_do_not_stay(tmp_path):
    (tmp_path / "errors.parquet").write_text("old")
    _report_failures(tmp_path, {"": {}}, 4, 0.2)
    assert not (tmp_path / "errors.parquet").exists()


def test_a_split_that_there_is_not_is_no_reason_to_fit_on_the_test_split(trained):
    with pytest.raises(InputError, match="fit_on must be train, val or test, not 'trian'"):
        evaluate.stage(Stage("test", {**PARAMS, "fit_on": "trian"}, trained))
