import json
import shutil

import pytest

from pipelines import evaluate, report
from pipelines.params import Stage
from pipelines.report import curves_figure
from tr2m_plugin.datasets.parquet import read_rows, write_rows
from tr2m_plugin.rows import IndexRow

EVALUATE = {"batch_size": 4, "device": "cpu", "kind": "fixture"}


def say(root, **about):
    """What a model folder says of how its weights came about."""
    config = json.loads((root / "model" / "config.json").read_text())
    (root / "model" / "config.json").write_text(json.dumps({**config, "about": about}))


@pytest.fixture(scope="module")
def root(trained, tmp_path_factory):
    return shutil.copytree(trained, tmp_path_factory.mktemp("report") / "copy")


@pytest.fixture(scope="module")
def fine_tuned(root, tmp_path_factory):
    """The folder of a page about two pictures of one dataset, trained from given weights without validation."""
    folder = tmp_path_factory.mktemp("fine_tuned")
    rows = read_rows(root / "index.parquet", IndexRow)
    write_rows(root / "index.parquet", IndexRow, [row for row in rows if row.dataset == "miniatures"])
    (root / "validation.csv").write_text("iteration\n")
    say(root, load_from="tr2m_mini")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        evaluate.stage(Stage("test", EVALUATE, root))
        report.stage(Stage("test", {}, root))
    return folder


def test_before_fine_tuning_is_a_row(fine_tuned):
    page = (fine_tuned / "report" / "index.html").read_text()
    start, end = page.index("<td>TR2M</td>"), page.index("<td>TR2M before fine-tuning</td>")
    assert start < end, "below the model itself"
    value = json.loads((fine_tuned / "metrics.json").read_text())["TR2M before fine-tuning"]["datasets"]["miniatures"][
        "d1"
    ]
    assert f"{value:.3f}" in page[end : end + 200]


def test_two_pictures_are_shown_once(fine_tuned):
    page = (fine_tuned / "report" / "index.html").read_text()
    panels = sorted(path.name for path in (fine_tuned / "report" / "images").glob("miniatures_*"))
    assert panels == ["miniatures_best.png", "miniatures_worst.png"]
    assert "<b>median</b>" not in page
    assert "images/overview.png" in page


def test_without_validation_it_says_so(fine_tuned):
    page = (fine_tuned / "report" / "index.html").read_text()
    assert "Nothing was validated" in page
    assert "zero-shot" not in page, "everything shown was trained on"


def test_weights_taken_as_they_are_make_everything_zero_shot(fine_tuned, root, tmp_path, monkeypatch):
    copy = shutil.copytree(root, tmp_path / "copy")
    shutil.copy(fine_tuned / "metrics.json", tmp_path)
    (copy / "losses.csv").write_text("iteration\n")
    say(copy, weights="tr2m_mini")
    monkeypatch.chdir(tmp_path)
    report.stage(Stage("test", {}, copy))
    page = (tmp_path / "report" / "index.html").read_text()
    assert "Nothing was trained: these are the weights of tr2m_mini" in page
    assert 'href="#miniatures">miniatures*</a>' in page
    assert "* zero-shot: no picture" in page
    assert "images/curves.png" not in page


def test_a_dataset_has_one_colour_in_all_panels():
    points = [(1, 0.5), (2, 0.4)]
    names = ["loss", "loss_si", "abs_rel", "d1", *(f"{d}/{m}" for d in ("attic", "rooms") for m in ("abs_rel", "d1"))]
    losses, *panels = curves_figure(dict.fromkeys(names, points)).axes
    assert [line.get_label() for line in losses.lines] == ["sum", "loss_si"]
    colors = [{line.get_label(): line.get_color() for line in axes.lines} for axes in panels]
    assert colors[0] == colors[1]
    assert set(colors[0]) == {"mean", "attic", "rooms"}
    assert len(set(colors[0].values())) == 3


def test_what_was_not_measured_has_no_axes():
    figure = curves_figure({"loss": [(1, 0.5)], "loss_si": [(1, 0.5)]})
    assert [axes.get_title() for axes in figure.axes] == ["loss"]
