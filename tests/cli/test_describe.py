"""`tr2m describe`, with tiny networks of the real classes."""

import os
import shutil

import cv2
import numpy as np
import pytest

from benchmarks.tiny_llava import save_llava
from tr2m_plugin.benchmark.datasets import open_datasets
from tr2m_plugin.benchmark.sentences import find_texts
from tr2m_plugin.cli import main
from tr2m_plugin.datasets.parquet import columns_of, read_table, write_table
from tr2m_plugin.rows import DescriptionRow

IDS = ("a", "sub/b")


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
    rows = read_table(out, columns_of(DescriptionRow))
    assert [(row["sample_id"], row["variant"]) for row in rows] == [(s, v) for s in ("a", "sub/b") for v in range(5)]
    assert {row["source"] for row in rows} == {"llava-vicuna"}
    assert "10 sentences" in capsys.readouterr().out


def test_a_bad_picture_costs_the_others_nothing(model, pictures, tmp_path, capsys):
    (pictures / "broken.png").write_text("nothing")
    shutil.copy(pictures / "a.jpg", pictures / os.fsdecode(b"caf\xe9.jpg"))
    out = tmp_path / "table.parquet"
    arguments = ["--options", f"model={model}", "max_new_tokens=4", "--device", "cpu"]
    assert main(["describe", str(pictures), "-o", str(out), *arguments]) == 2
    assert [row["sample_id"] for row in read_table(out, columns_of(DescriptionRow))[::5]] == ["a", "caf_", "sub/b"]
    assert "broken.png is not a picture" in capsys.readouterr().err
    (tmp_path / "other.parquet").write_text("mine")
    assert main(["describe", str(pictures), "-o", str(tmp_path / "other.parquet"), *arguments]) == 2
    assert "other.parquet is there already and is not a table of descriptions" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["model"], "options are NAME=VALUE, not 'model'"),
        (["modle=x"], "Llava has no option 'modle'; LlavaDescriber takes model, prompts"),
        (
            ["model={type: os.mkdir, path: it_ran}"],
            "Llava.model must be text, not {'path': 'it_ran', 'type': 'os.mkdir'}",
        ),
        (["batch_size=two"], "Llava.batch_size must be a whole number, not 'two'"),
        (["batch_size=0"], "batch_size and max_new_tokens must be 1 or more, not 0 and 96"),
        (["prompts=What?"], "Llava.prompts must be a list of texts, not 'What?'"),
        (["revision=12"], "Llava.revision must be text or null, not 12"),
        (["attn_implementation=evil/kernel", "model=mini_dpt"], "not a LLaVA"),
    ],
)
def test_wrong_options_are_one_line(pictures, tmp_path, capsys, options, message):
    assert main(["describe", str(pictures), "-o", str(tmp_path / "t.parquet"), "--options", *options]) == 2
    assert message in capsys.readouterr().err


def test_the_table_feeds_an_evaluation(model, tmp_path):
    root, out = tmp_path / "mine", tmp_path / "table.parquet"
    for sample in ("a", "sub/b"):
        for path, pixels in (
            (root / f"rgb/{sample}_rgb.png", np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)),
            (root / f"depth/{sample}.png", np.full((40, 50), 2000, np.uint16)),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), pixels)
    arguments = ["--options", f"model={model}", "max_new_tokens=4", "--device", "cpu"]
    assert main(["describe", str(root / "rgb"), "-o", str(out), *arguments]) == 0
    rows = read_table(out, columns_of(DescriptionRow))
    entry = {"type": "RGBDFolder", "root": str(root), "image": "rgb/*_rgb.png", "depth": "depth/*.png"}
    entry |= {"depth_scale": 0.001, "unit": "m", "depth_range": [0.3, 10]}
    datasets = open_datasets({"mine": {**entry, "name": "mine"}})
    expected = {f"mine/{sample}": next(r["text"] for r in rows if r["sample_id"] == f"{sample}_rgb") for sample in IDS}
    assert find_texts(datasets, [out]) == expected
    write_table(
        out, columns_of(DescriptionRow), [{**row, "sample_id": row["sample_id"].removesuffix("_rgb")} for row in rows]
    )
    assert find_texts(datasets, [out]) == expected, "sample ids are names too"
    others = [{**row, "sample_id": "b_rgb", "text": "another b"} for row in rows[:1]]
    write_table(out, columns_of(DescriptionRow), [{**row} for row in rows] + others)
    assert find_texts(datasets, [out]) == expected, "a picture of the same name elsewhere"
