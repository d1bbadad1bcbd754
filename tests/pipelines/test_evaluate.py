import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines import evaluate, report
from pipelines.estimators import PrecomputedRelativeDepth
from pipelines.evaluate import ALIGNED_BY, read_split, report_failures
from pipelines.params import Stage
from tr2m_plugin.benchmark.datasets import datasets_of
from tr2m_plugin.benchmark.evaluation import Evaluation
from tr2m_plugin.benchmark.results import PER_IMAGE
from tr2m_plugin.benchmark.run import Options
from tr2m_plugin.datasets.parquet import columns_of, read_rows, read_table, sample_key, write_rows
from tr2m_plugin.errors import InputError
from tr2m_plugin.evaluation import METRICS
from tr2m_plugin.rows import ErrorRow, IndexRow
from tr2m_plugin.weights import resolve_pretrained

BAD = [("rooms", "train"), ("rooms", "test")]
"""The datasets and splits of whose pictures the first gets depth that cannot be read."""
OURS = ("TR2M", "TR2M, another scene's description", "TR2M, another domain's description")
NAMES = ("median", "linear fit", "global", "global (all datasets)")
BASELINES = {kind: f"mini_depth_anything {name}" for kind, name in zip(ALIGNED_BY, NAMES, strict=True)}
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
    models, baselines = OURS, BASELINES.values()
    assert list(metrics) == [*models, *baselines], "it was not fine-tuned"
    for method, entry in metrics.items():
        assert entry["kind"] == "fixture"
        assert entry["uses_ground_truth"] is (method in baselines)
    results = metrics["TR2M"]["datasets"]
    assert set(results["rooms"]) == {*METRICS, "images", "empty", "unit", "protocol", "protocol_hash", "kind"}
    assert results["rooms"]["images"] == 4
    assert results["colons"]["unit"] == "mm"
    assert "hallway" in metrics[BASELINES["global_all"]]["datasets"]
    assert "hallway" not in metrics[BASELINES["global"]]["datasets"], "nothing of that kind was trained on"
    for dataset in ("rooms", "colons", "miniatures", "hallway"):
        linear, everything = (metrics[BASELINES[kind]]["datasets"][dataset] for kind in ("linear", "global_all"))
        assert linear["abs_rel"] < everything["abs_rel"]


def test_means_are_those_of_the_table_per_image(evaluated, trained):
    metrics = json.loads((evaluated / "metrics.json").read_text())
    rows = read_table(trained / "evaluation" / "per_image.parquet", PER_IMAGE)
    values = [r["d1"] for r in rows if r["method"] == "TR2M" and r["dataset"] == "colons"]
    assert metrics["TR2M"]["datasets"]["colons"]["d1"] == pytest.approx(np.mean(values))


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
        assert (len(entry["weights"]) == 12) is method.startswith("TR2M")
        rooms, colons = (entry["datasets"][name] for name in ("rooms", "colons"))
        assert rooms["protocol"] == "range"
        assert rooms["protocol_hash"] != colons["protocol_hash"], "their ranges differ"


def test_spoilt_sentences_where_they_are_asked_for(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = shutil.copytree(trained, tmp_path / "copy")
    evaluate.stage(Stage("test", {**PARAMS, "which_text": ["truncated", "misspelt", "empty"]}, root))
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    kinds = [entry["about"].get("description") for entry in metrics.values()]
    assert kinds == ["right", "truncated", "misspelt", "empty", *[None] * len(BASELINES)]
    values = [entry["datasets"]["rooms"]["abs_rel"] for entry in list(metrics.values())[:4]]
    assert len(set(values)) == 4
    with pytest.raises(InputError, match="empty, not mumbled"):
        evaluate.stage(Stage("test", {**PARAMS, "which_text": ["mumbled"]}, root))


def test_the_model_before_fine_tuning_has_a_row_of_its_own(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    root = shutil.copytree(trained, tmp_path / "copy")
    rows = read_rows(root / "index.parquet", IndexRow)
    write_rows(root / "index.parquet", IndexRow, [row for row in rows if row.dataset == "miniatures"])
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
    before = tuned["TR2M before fine-tuning"]
    assert before["label"] == "TR2M before fine-tuning"
    assert before["weights"] == start["TR2M"]["weights"] != tuned["TR2M"]["weights"]
    assert before["datasets"] == start["TR2M"]["datasets"] != tuned["TR2M"]["datasets"]
    assert before["about"] == tuned["TR2M"]["about"]
    assert "TR2M before fine-tuning" not in start
    assert "no row of the model before fine-tuning: train.load_from: " in capsys.readouterr().err


def test_a_protocol_with_mirror_images_is_refused(trained, tmp_path, monkeypatch):
    (tmp_path / "flip").mkdir()
    (tmp_path / "flip" / "rooms.yaml").write_text("{depth_range: [0.1, 10], flip_average: true}")
    root = shutil.copytree(trained, tmp_path / "copy")
    rows = read_rows(root / "index.parquet", IndexRow)
    named = [replace(row, protocol=str(tmp_path / "flip") if row.dataset == "rooms" else None) for row in rows]
    write_rows(root / "index.parquet", IndexRow, named)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="of rooms averages with the mirror image"):
        evaluate.stage(Stage("test", PARAMS, root))


def test_depth_that_cannot_be_read_is_a_row_with_its_reason(evaluated, trained, tmp_path, monkeypatch, capsys):
    before = read_table(trained / "evaluation" / "per_image.parquet", PER_IMAGE)
    root = shutil.copytree(trained, tmp_path / "copy")
    (tmp_path / "cut.png").write_bytes(b"\x89PNG")
    rows = read_rows(root / "index.parquet", IndexRow)
    bad = [next(r.key for r in rows if (r.dataset, r.split) == of) for of in BAD]
    rows = [replace(r, depth=str(tmp_path / "cut.png")) if r.key in bad else r for r in rows]
    write_rows(root / "index.parquet", IndexRow, rows)
    monkeypatch.chdir(tmp_path)
    evaluate.stage(Stage("test", PARAMS, root))
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    for method in ("TR2M", BASELINES["median"]):
        rooms, colons = (metrics[method]["datasets"][name] for name in ("rooms", "colons"))
        assert (rooms["images"], rooms["failed"]) == (3, 1)
        assert (colons["images"], colons.get("failed")) == (3, None)
    after = read_table(root / "evaluation" / "per_image.parquet", PER_IMAGE)
    for method in (BASELINES["median"], BASELINES["linear"]):
        kept = [r for r in before if r["method"] == method and sample_key(r) not in bad]
        assert [r for r in after if r["method"] == method] == kept, "the others' numbers are what they were"
    (error,) = read_table(root / "evaluation" / "errors.parquet", columns_of(ErrorRow))
    assert sample_key(error) == bad[1]
    assert "cut.png is not a depth map" in error["reason"]
    assert f"evaluate: {bad[1]}: " in capsys.readouterr().err
    assert ", 1 failed" in (root / "evaluation" / "dataset_rooms.md").read_text()
    with pytest.raises(InputError, match=r"1 of 11 pictures failed; .*errors.parquet says why"):
        evaluate.stage(Stage("test", {**PARAMS, "max_error_share": 0.05}, root))


def test_a_prediction_that_is_not_finite_is_its_models_failure(trained, tmp_path):
    rows, arrays = read_split(trained, "test")
    rows = [row for row in rows if row.dataset == "rooms"]

    class Broken(PrecomputedRelativeDepth):
        def predict(self, images, texts, size=None):
            return [np.full_like(image, np.nan) for image in images]

    evaluation = Evaluation(datasets_of(rows), tmp_path, Options(pictures=False))
    evaluation.add_model(PrecomputedRelativeDepth(arrays, "whole"), alignments=["median"])
    evaluation.add_model(Broken(arrays, "broken"), alignments=["median"])
    metrics = evaluation.write()
    assert metrics["whole median"]["datasets"]["rooms"]["images"] == 4
    assert "failed" not in metrics["whole median"]["datasets"]["rooms"]
    assert metrics["broken median"]["datasets"]["rooms"]["failed"] == 4
    assert all(reason.endswith("predicted numbers that count is finite") for _, _, reason in evaluation.failures())
    with pytest.raises(InputError, match="4 of 4 pictures failed"):
        report_failures(evaluation, 0.2)


def test_pictures_without_depth_are_refused(trained, tmp_path, monkeypatch):
    root = shutil.copytree(trained, tmp_path / "copy")
    rows = read_rows(root / "index.parquet", IndexRow)
    write_rows(root / "index.parquet", IndexRow, [replace(row, depth=None) for row in rows])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="pictures without depth"):
        evaluate.stage(Stage("test", PARAMS, root))
    assert not (tmp_path / "metrics.json").exists()


def test_a_split_that_there_is_not_is_no_reason_to_fit_on_the_test_split(trained):
    with pytest.raises(InputError, match="fit_on must be train, val or test, not 'trian'"):
        evaluate.stage(Stage("test", {**PARAMS, "fit_on": "trian"}, trained))
