import csv
import json

import numpy as np
import pytest

from tr2m_plugin.benchmark.results import (
    file_name,
    measure,
    pick_examples,
    summarize,
    write_csv,
    write_summary,
    wrong_texts,
)
from tr2m_plugin.evaluation import METRICS, Protocol, depth_metrics

PROTOCOL = Protocol((0.5, 10.0))


def rows():
    rng = np.random.default_rng(0)
    truth = rng.uniform(1, 7, (4, 5)).astype(np.float32)
    return [
        measure("m", {"dataset": "d", "sample_id": str(i)}, truth * factor, truth if known else 0 * truth, PROTOCOL)
        for i, (factor, known) in enumerate([(1.1, True), (1.2, True), (1.0, False), (1.4, True)])
    ], truth


def test_a_row_is_an_images_metrics_and_how_many_pixels_counted():
    (first, *_), truth = rows()
    expected = depth_metrics(*PROTOCOL.compare(truth * np.float32(1.1), truth))
    assert first == {"method": "m", "dataset": "d", "sample_id": "0", **expected, "pixels": 20}


def test_images_without_valid_depth_are_counted():
    found, _ = rows()
    report = summarize(found, {"m": {"kind": "fixture"}}, {"d": {"unit": "m", "protocol": "range"}})
    entry = report["m"]["d"]
    assert (entry["images"], entry["empty"], entry["unit"], entry["protocol"]) == (4, 1, "m", "range")
    assert entry["abs_rel"] == pytest.approx(np.mean([0.1, 0.2, 0.4]), abs=1e-5)
    nothing = summarize(found[2:3], {"m": {}}, {"d": {}})["m"]["d"]
    assert nothing["abs_rel"] is None
    assert json.loads(json.dumps(nothing))["empty"] == 1


def test_examples_are_best_median_and_worst():
    found, _ = rows()
    picked = pick_examples(found, "m")["d"]
    assert [picked[rank]["sample_id"] for rank in ("best", "median", "worst")] == ["0", "1", "3"]
    assert pick_examples(found, "other") == {}


@pytest.mark.parametrize(("count", "ranks"), [(1, ["only"]), (2, ["best", "worst"]), (3, ["best", "median", "worst"])])
def test_examples_are_distinct(count, ranks):
    found, _ = rows()
    picked = pick_examples([row for row in found if row["pixels"]][:count], "m")["d"]
    assert list(picked) == ranks
    assert len({row["sample_id"] for row in picked.values()}) == count


def test_wrong_descriptions_are_another_scenes_or_another_domains():
    made = [{"domain": d, "texts": [t]} for d, t in [("in", "a"), ("in", "b"), ("out", "c"), ("in", "a")]]
    chosen = wrong_texts(made, 0)
    assert chosen["domain"][0] == 2
    assert chosen["domain"][2] in (0, 1, 3)
    assert chosen["scene"] == [1, chosen["scene"][1], None, 1]
    assert chosen["scene"][1] in (0, 3)
    assert chosen == wrong_texts(made, 0)
    many = [{"domain": "in", "texts": [str(i)]} for i in range(20)]
    assert wrong_texts(many, 0) != wrong_texts(many, 1)


def test_csv_files_for_people_and_plots(tmp_path):
    found, _ = rows()
    write_csv(tmp_path / "rows.csv", found)
    read = list(csv.DictReader((tmp_path / "rows.csv").read_text().splitlines()))
    assert [r["sample_id"] for r in read] == ["0", "1", "2", "3"]
    assert float(read[1]["abs_rel"]) == pytest.approx(0.2)
    assert read[2]["abs_rel"] == ""
    write_summary(tmp_path / "summary.csv", summarize(found, {"m": {"about": {"type": "x"}}}, {"d": {}}))
    (line,) = csv.DictReader((tmp_path / "summary.csv").read_text().splitlines())
    assert (line["method"], line["dataset"], line["images"], line["empty"]) == ("m", "d", "4", "1")
    assert set(METRICS) < set(line)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("TR2M (tr2m_mini)", "TR2M_tr2m_mini"),
        ("..", "_"),
        ("../x", "_x"),
        ("?", "_"),
        ("a" * 300, "a" * 100),
        ("Küche", "Küche"),
    ],
)
def test_names_as_parts_of_files(name, expected):
    assert file_name(name) == expected
