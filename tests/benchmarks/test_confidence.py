import re

import cv2
import numpy as np
import pytest
import yaml

from benchmarks import confidence
from tr2m_plugin import TR2MInferencer
from tr2m_plugin.datasets.parquet import read_rows
from tr2m_plugin.datasets.readers import load_depth, load_picture
from tr2m_plugin.evaluation import measure, protocol_of
from tr2m_plugin.rows import DescriptionRow, IndexRow

TEXTS = ["A room with a slope.", "A slope."]


@pytest.fixture(scope="module")
def measured(world, tmp_path_factory):
    """What the command says of two pictures of each part of the small world, and of one folder with depth."""
    folder = tmp_path_factory.mktemp("confidence")
    (folder / "lab").mkdir()
    rng = np.random.default_rng(0)
    for name in "ab":
        depth = np.linspace(1000, 3000, 48)[:, None] + rng.uniform(0, 300, (1, 64))
        cv2.imwrite(str(folder / "lab" / f"{name}_depth.png"), depth.astype(np.uint16))
        cv2.imwrite(str(folder / "lab" / f"{name}_rgb.jpg"), rng.integers(0, 255, (48, 64, 3), np.uint8))
        (folder / "lab" / f"{name}.txt").write_text("\n".join(TEXTS if name == "a" else TEXTS[:1]))
    means = {"depth_scale": 0.001, "unit": "m", "depth_range": [0.3, 10], "splits": {"test": 1}}
    entry = {"type": "RGBDFolder", "root": str(folder / "lab"), "image": "*_rgb.jpg", "depth": "*_depth.png", **means}
    (folder / "roots.yaml").write_text(yaml.safe_dump({"lab": entry}))
    (folder / "page.md").write_text("before\n<!-- confidence -->\nold\n<!-- end -->\nafter\n<!-- end -->\n")
    places = ["--root", str(world), "--roots", str(folder / "roots.yaml"), "--out", str(folder / "out")]
    assert confidence.main([*places, "--limit", "2", "--device", "cpu", "--into", str(folder / "page.md")]) == 0
    return folder


@pytest.fixture(scope="module")
def rows(measured):
    """Cells of the table by the first."""
    lines = re.findall(r"^\| (.+) \|$", (measured / "out" / "table.md").read_text(), re.MULTILINE)
    return {cells[0]: cells[1:] for cells in (line.split(" | ") for line in lines[1:])}


def test_it_measures_every_dataset(rows):
    assert list(rows) == ["rooms", "colons", "miniatures", "hallway", "lab"]
    assert {cells[0] for cells in rows.values()} == {"2"}
    assert {cells[-1] for cells in rows.values()} == {"fixture"}
    assert rows["lab"][1] == "1 and paraphrases or 2"


def test_the_error_is_that_of_plain_predictions(rows, world):
    index = [row.resolved(world) for row in read_rows(world / "index.parquet", IndexRow)]
    texts = {row.key: row.text for row in reversed(read_rows(world / "descriptions.parquet", DescriptionRow))}
    inferencer = TR2MInferencer(device="cpu", show_progress=False)
    for dataset in ("miniatures", "hallway", "colons"):
        tested = [row for row in index if (row.dataset, row.split) == (dataset, "test")]
        errors = []
        for row in (tested[0], tested[-1]):
            (found,) = inferencer(load_picture(row), texts[row.key], unit=row.unit)
            errors.append(measure(found.depth, load_depth(row), protocol_of(row))["abs_rel"])
        assert float(rows[dataset][2]) == pytest.approx(np.mean(errors), abs=6e-4)


def test_no_order_is_better_than_the_oracles(rows):
    for cells in rows.values():
        whole, (spread, oracle) = float(cells[2]), map(float, cells[3].split(" / "))
        assert oracle < min(spread, whole)
        for areas in cells[4:6]:
            assert all(0 < float(area) < 2 for area in areas.split(" / "))


def test_a_spread_that_is_the_error_is_the_oracle(measured, world, monkeypatch):
    """And one that is the opposite is worse than a random order."""
    whole = confidence.pixels_of
    areas = {}
    for sign in (1, -1):

        def known(*arguments, sign=sign):
            found = whole(*arguments)
            return found._replace(ranks={**found.ranks, "spread": sign * found.errors})

        monkeypatch.setattr(confidence, "pixels_of", known)
        out = measured / f"known{sign}"
        few = ["--limit", "1", "--device", "cpu", "--out", str(out)]
        assert confidence.main(["--roots", str(measured / "roots.yaml"), *few]) == 0
        areas[sign] = [cell.split(" / ") for cell in (out / "table.md").read_text().split(" | ")[-4:-2]]
    for one, other in zip(areas[1], areas[-1], strict=True):
        assert float(one[0]) == 0
        assert float(other[0]) > float(other[2]) > 0


def test_the_page_and_the_picture(measured):
    table = (measured / "out" / "table.md").read_text()
    page = (measured / "page.md").read_text()
    assert page == f"before\n<!-- confidence -->\n\n{table}\n<!-- end -->\nafter\n<!-- end -->\n"
    assert table.startswith("tr2m_mini. AUSE by spread / predicted depth / random")
    drawn = cv2.imread(str(measured / "confidence.png"))
    assert drawn is not None
    assert drawn.std() > 10
    assert (measured / "confidence.png").read_bytes() == (measured / "out" / "curves.png").read_bytes()


def test_what_is_missing_is_one_line(measured, tmp_path, capsys):
    assert confidence.main([]) == 2
    assert "name pictures: --root for the pipeline's tables" in capsys.readouterr().err
    assert confidence.main(["--root", str(tmp_path)]) == 2
    assert "run `make demo` first" in capsys.readouterr().err
    (tmp_path / "page.md").write_text("no place")
    assert confidence.main(["--roots", str(measured / "roots.yaml"), "--into", str(tmp_path / "page.md")]) == 2
    assert "has no lines <!-- confidence -->" in capsys.readouterr().err


def test_the_page_of_the_package_has_a_place(repository):
    assert confidence.BLOCK.search((repository / "docs" / "predict.md").read_text())


def test_the_summary_counts_what_the_curves_say():
    flat, low = np.ones(confidence.STEPS), np.linspace(1, 0.4, confidence.STEPS)
    better = {"spread": low, "predicted depth": flat, "random": flat, "oracle": low / 2}
    worse = {**better, "spread": flat, "predicted depth": low}
    made = [
        confidence.Result(None, "", 0, {}, curves, pooled, 0)
        for curves, pooled in ((better, worse), (better, better), (worse, worse))
    ]
    assert confidence.summary(made) == (
        "Of 3 datasets, the spread is better than predicted depth in a picture on 2 and over all on 1, "
        "than random in a picture on 2 and over all on 1."
    )
