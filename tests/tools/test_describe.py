"""`tr2m describe`, with tiny networks of the real classes."""

import os
import shutil

import cv2
import numpy as np
import pytest

from benchmarks.tiny_llava import save_llava
from tr2m_plugin.cli import main
from tr2m_plugin.datasets.tables import DESCRIPTIONS, read_table


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llava")
    save_llava(folder, "vicuna")
    return folder


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.jpg", "sub/b.png"):
        cv2.imwrite(str(folder / name), np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8))
    return folder


def test_pictures_of_a_folder(model, pictures, tmp_path, capsys):
    out = tmp_path / "table.parquet"
    arguments = ["--describer", "llava-vicuna", "--options", f"model={model}", "max_new_tokens=4", "--device", "cpu"]
    assert main(["describe", str(pictures), "-o", str(out), *arguments]) == 0
    rows = read_table(out, DESCRIPTIONS)
    assert [(row["sample_id"], row["variant"]) for row in rows] == [(s, v) for s in ("a", "sub/b") for v in range(5)]
    assert {row["source"] for row in rows} == {"llava-vicuna"}
    assert "10 sentences" in capsys.readouterr().out


def test_a_bad_picture_costs_the_others_nothing(model, pictures, tmp_path, capsys):
    (pictures / "broken.png").write_text("nothing")
    shutil.copy(pictures / "a.jpg", pictures / os.fsdecode(b"caf\xe9.jpg"))
    out = tmp_path / "table.parquet"
    arguments = ["--options", f"model={model}", "max_new_tokens=4", "--device", "cpu"]
    assert main(["describe", str(pictures), "-o", str(out), *arguments]) == 2
    assert len(read_table(out, DESCRIPTIONS)) == 10
    error = capsys.readouterr().err
    assert "broken.png is not a whole picture" in error
    assert r"the name 'caf\udce9' is not UTF-8: rename the picture" in error
    (tmp_path / "other.parquet").write_text("mine")
    assert main(["describe", str(pictures), "-o", str(tmp_path / "other.parquet"), *arguments]) == 2
    assert "other.parquet is there already and is not a table of descriptions" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [(["model"], "options are NAME=VALUE, not 'model'"), (["modle=x"], "unexpected keyword argument 'modle'")],
)
def test_wrong_options_are_one_line(pictures, tmp_path, capsys, options, message):
    assert main(["describe", str(pictures), "-o", str(tmp_path / "t.parquet"), "--options", *options]) == 2
    assert message in capsys.readouterr().err
