import json
import re
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from benchmarks import real_pictures
from benchmarks.real_pictures import ALIGNED_BY, METRICS, VARIANTS, Training, configured, mean_and_error, section
from tr2m_plugin.datasets.parquet import read_rows
from tr2m_plugin.rows import DescriptionRow, IndexRow

FEW = ["--train", "5", "--test", "2", "--seeds", "0", "--iterations", "2", "--batch", "2", "--jobs", "1"]
DOCUMENT = "before\n<!-- measured -->\nold\n<!-- end -->\nafter\n"


def write_frames(folder, count, seed):
    """Pictures of a slope, millimetres in PNGs, a fifth of them holes."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for number in range(count):
        depth = np.linspace(1000, 3000, 48)[:, None] + rng.uniform(0, 300, (1, 64))
        stored = np.where(rng.random(depth.shape) < 0.2, 0, depth).astype(np.uint16)
        cv2.imwrite(str(folder / f"{number:03d}_depth.png"), stored)
        cv2.imwrite(str(folder / f"{number:03d}_rgb.jpg"), rng.integers(0, 255, (48, 64, 3), np.uint8))


def arguments(folder):
    texts = ["--text", "A kitchen.", "A table.", "--about", "noise"]
    places = [str(folder / "frames"), "--elsewhere", str(folder / "others")]
    return [*places, *texts, *FEW, "--out", str(folder / "out"), "--into", str(folder / "page.md")]


@pytest.fixture(scope="module")
def measured(repository, tmp_path_factory):
    """What two runs leave, and when each wrote its last checkpoints."""
    folder = tmp_path_factory.mktemp("real")
    write_frames(folder / "frames", 9, 0)
    write_frames(folder / "others", 2, 1)
    (folder / "page.md").write_text(DOCUMENT)
    times = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(repository)
        for _ in range(2):
            assert real_pictures.main(arguments(folder)) == 0
            times.append({path: path.stat().st_mtime_ns for path in (folder / "out").glob("*/iter_2.pth")})
    return SimpleNamespace(folder=folder, times=times)


def tables(folder):
    """The cells of both tables by their first."""
    parts = (folder / "out" / "table.md").read_text().split("Less the")
    lines = [re.findall(r"^\| (.*) \|$", part, re.MULTILINE)[1:] for part in parts]
    return [{cells[0]: cells[1:] for cells in (line.split(" | ") for line in part)} for part in lines]


def numbers(cells):
    return np.array([[float(number) for number in cell.split(" / ")] for cell in cells])


def test_the_first_frames_train_and_the_last_test(measured):
    rows = read_rows(measured.folder / "out" / "tables" / "index.parquet", IndexRow)
    names = {
        (dataset, split): [row.sample_id for row in rows if (row.dataset, row.split) == (dataset, split)]
        for dataset, split in {(row.dataset, row.split) for row in rows}
    }
    assert names == {
        ("walk", "train"): ["000", "001", "002", "003", "004"],
        ("walk", "test"): ["007", "008"],
        ("elsewhere", "test"): ["000", "001"],
    }


def test_each_folder_has_its_sentences(measured):
    rows = read_rows(measured.folder / "out" / "tables" / "descriptions.parquet", DescriptionRow)
    texts = {(row.dataset, row.text) for row in rows}
    assert texts == {("walk", "A kitchen."), ("walk", "A table."), ("elsewhere", "A room with furniture.")}
    text = (measured.folder / "out" / "table.md").read_text()
    assert "Sentences: A kitchen. A table.\n" in text
    assert "Sentences: A room with furniture.\n" in text


def test_the_tables_are_what_was_measured(measured):
    metrics = json.loads((measured.folder / "out" / "evaluation" / "metrics.json").read_text())
    rows, changes = tables(measured.folder)
    trained = {f"TR2M, {name}, seed 0": name for name in VARIANTS}
    labels = {"TR2M, as it is": "tr2m_mini, as it is", **trained}
    aligned = [method for method in metrics if method not in labels]
    labels |= {m: f"relative depth, {name}" for m, name in zip(aligned, ALIGNED_BY.values(), strict=True)}
    assert list(rows) == list(labels.values())
    exact = {
        name: np.array([[metrics[method]["datasets"][d][x] for x in METRICS] for d in ("walk", "elsewhere")])
        for method, name in labels.items()
    }
    for name, cells in rows.items():
        assert numbers(cells) == pytest.approx(exact[name], abs=6e-4)
    whole, *others = VARIANTS
    assert list(changes) == others
    for name, cells in changes.items():
        assert numbers(cells) == pytest.approx(exact[name] - exact[whole], abs=6e-5)
    assert (exact[whole] != exact["tr2m_mini, as it is"]).all(), "it has learned something"


def test_the_page_says_what_was_measured_on_what(measured):
    page = (measured.folder / "page.md").read_text()
    text = (measured.folder / "out" / "table.md").read_text()
    assert page == f"before\n<!-- measured -->\n\n{text}\n<!-- end -->\nafter\n", "nothing else is touched"
    assert text.startswith("Kind: **real pictures, measured by us**: noise.")
    assert "- walk: the first 5 pictures to train on, the last 2 to test on, 80% of whose pixels" in text
    assert "2 iterations of 2 pictures, seeds 0; from weights " in text


def test_what_is_trained_is_not_trained_again(measured):
    first, second = measured.times
    assert len(first) == len(VARIANTS)
    assert first == second


def test_the_variants_leave_out_what_they_say(measured, repository, monkeypatch):
    monkeypatch.chdir(repository)
    args = SimpleNamespace(batch=8, iterations=300)
    run = section("train", measured.folder / "out" / "tables")
    configs = [configured(args, run, Training(variant, 1)) for variant in VARIANTS]
    assert [len(config.custom_hooks) for config in configs] == [1, 0, 1, 0]
    assert [config.model.loss_pseudo is None for config in configs] == [False, False, True, True]
    assert {(config.randomness.seed, config.param_scheduler[1].end) for config in configs} == {(1, 300)}


def test_bad_arguments_are_refused_before_anything_is_trained(measured, repository, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(repository)
    given = [*arguments(measured.folder), "--out", str(tmp_path / "out")]
    assert real_pictures.main([*given, "--train", "8"]) == 2
    assert "has 9 frames, not the 8 + 2 asked for" in capsys.readouterr().err
    (tmp_path / "page.md").write_text("no place")
    assert real_pictures.main([*given, "--into", str(tmp_path / "page.md")]) == 2
    assert "has no lines <!-- measured -->" in capsys.readouterr().err
    assert not list(Path(tmp_path).rglob("*.pth"))


def test_the_page_of_the_package_has_a_place(repository):
    assert real_pictures.BLOCK.search((repository / "docs" / "real_pictures.md").read_text())


def test_means_and_standard_errors():
    assert mean_and_error(np.array([0.1, 0.2, 0.6]), 3) == ".300 ± .153"
    assert mean_and_error(np.array([-0.02]), 4, "+") == "-.0200"
    assert mean_and_error(np.array([10.0, 12.0]), 1) == "11.0 ± 1.0"
    assert mean_and_error(np.array([10.5]), 3) == "10.500"
