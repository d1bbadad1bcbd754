import csv
import json

import numpy as np
import pytest

from tr2m_plugin.benchmark.results import (
    file_name,
    image_row,
    merge,
    pick_examples,
    read_metrics,
    summarize,
    write_csv,
    write_summary,
)
from tr2m_plugin.errors import InputError
from tr2m_plugin.evaluation import METRICS, Protocol, depth_metrics, measure

PROTOCOL = Protocol((0.5, 10.0))


def rows():
    rng = np.random.default_rng(0)
    truth = rng.uniform(1, 7, (4, 5)).astype(np.float32)
    return [
        image_row("m", "d", str(i), measure(truth * factor, truth if known else 0 * truth, PROTOCOL))
        for i, (factor, known) in enumerate([(1.1, True), (1.2, True), (1.0, False), (1.4, True)])
    ], truth


def test_a_row_is_an_images_metrics_and_how_many_pixels_counted():
    (first, *_), truth = rows()
    expected = depth_metrics(*PROTOCOL.compare(truth * np.float32(1.1), truth))
    assert first == {"method": "m", "dataset": "d", "sample_id": "0", **expected, "pixels": 20}


def test_images_without_valid_depth_are_counted():
    found, _ = rows()
    report = summarize(found, {"m": {"kind": "fixture"}}, {"d": {"unit": "m", "protocol": "range"}})
    entry = report["m"]["datasets"]["d"]
    assert (entry["images"], entry["empty"], entry["unit"], entry["protocol"]) == (4, 1, "m", "range")
    assert entry["abs_rel"] == pytest.approx(np.mean([0.1, 0.2, 0.4]), abs=1e-5)
    nothing = summarize(found[2:3], {"m": {}}, {"d": {}})["m"]["datasets"]["d"]
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


def test_runs_come_together():
    facts = {"kind": "reproduced", "model": "m", "weights": "a"}

    def run(**datasets):
        return {"A": {**facts, "datasets": datasets}}

    by_other, same = (run(nyu={"images": 1, "protocol_hash": digits}) for digits in "xy")
    assert list(merge([by_other, same])) == ["A", "A (2)"], "another protocol's numbers are not overwritten"
    assert merge([run(nyu={"images": 1}), run(kitti={"images": 2})]) == run(nyu={"images": 1}, kitti={"images": 2})
    other = {"A": {**run(nyu={"images": 3})["A"], "weights": "b"}}
    assert list(merge([run(nyu={"images": 1}), other])) == ["A", "A (2)"]


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"m": {"kind": "fixture"}}', '{"m": {"kind": "fixture", "datasets": []}}']
)
def test_other_json_is_no_metrics(tmp_path, text):
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(InputError, match=r"metrics\.json is not a metrics\.json: "):
        read_metrics(tmp_path / "metrics.json")


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
