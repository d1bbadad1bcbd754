import json
import sys

import cv2
import numpy as np
import pytest
import torch

from tr2m_plugin import cli
from tr2m_plugin.cli import main

TEXT = "A small kitchen with a table."


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("a", "b"):
        cv2.imwrite(str(folder / f"{name}.jpg"), np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8))
    return folder


def test_a_folder(trained, pictures, tmp_path, capsys):
    arguments = ["--model", str(trained / "model"), "--device", "cpu", "--out", str(tmp_path / "out"), "--fov", "60"]
    assert main(["predict", str(pictures), "--text", TEXT, *arguments]) == 0
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        f"{name}{ending}" for name in "ab" for ending in (".npy", ".json", ".ply", "_depth.png", "_color.png")
    }
    assert json.loads((tmp_path / "out" / "a.json").read_text())["text"] == TEXT
    out = capsys.readouterr().out
    assert "[1/2]" in out
    assert "[2/2]" in out


def test_what_fails_is_named_and_the_rest_is_done(trained, pictures, tmp_path, capsys):
    (pictures / "a.jpg").write_text("no picture")
    arguments = ["--model", str(trained / "model"), "--device", "cpu", "--out", str(tmp_path / "out")]
    assert main(["predict", str(pictures), "--text", TEXT, *arguments]) == 2
    captured = capsys.readouterr()
    assert "a.jpg is not a picture" in captured.err
    assert "1 of 2 pictures failed" in captured.err
    assert (tmp_path / "out" / "b.npy").is_file()
    assert not (tmp_path / "out" / "a.npy").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.jpg", "--text", TEXT], "nothing.jpg is neither a picture nor a folder"),
        (["{pictures}", "--text", "  "], "the text is empty"),
        (["{pictures}", "--text", TEXT, "--model", "nowhere"], "nowhere is not a model folder"),
        (["{pictures}", "--text", TEXT, "--fov", "200"], "a field of view lies between"),
        (["{pictures}"], "has no description"),
    ],
)
def test_bad_input_is_one_line_and_status_2(pictures, tmp_path, capsys, arguments, message):
    filled = [argument.format(pictures=pictures) for argument in arguments]
    assert main(["predict", *filled, "--device", "cpu", "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not list((tmp_path / "out").rglob("*.*"))


def test_a_missing_extra_is_one_line(pictures, tmp_path, capsys, monkeypatch):
    for name in [m for m in sys.modules if m == "transformers" or m.startswith("transformers.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert main(["predict", str(pictures), "--text", TEXT, "--out", str(tmp_path / "out")]) == 2
    assert "pip install 'tr2m_plugin[data]'" in capsys.readouterr().err


def test_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == cli.__version__


def test_features_of_checkpoints(trained, tmp_path, capsys, repository):
    """Feature and index come from the config's hook."""
    checkpoint = str(next((trained / "train").rglob("iter_6.pth")))
    out = tmp_path / "features.png"
    config = str(repository / "configs" / "tr2m_mini.py")
    arguments = ["--data-root", str(trained), "--pictures", "2", "--method", "pca", "--out", str(out)]
    assert main(["features", config, checkpoint, checkpoint, *arguments]) == 0
    first, second, _ = [line for line in capsys.readouterr().out.splitlines() if "INFO" not in line]
    assert first == second
    assert -1 < float(first.rpartition(" ")[2]) < 1
    assert cv2.imread(str(out)).shape[:2] == (500, 1100)
    assert main(["features", config, checkpoint, "--feature", "rescale_net.fusoin", *arguments]) == 2
    assert "names near it: rescale_net.fusion" in capsys.readouterr().err
    torch.save({"state_dict": {}}, tmp_path / "empty.pth")
    assert main(["features", config, str(tmp_path / "empty.pth"), *arguments]) == 2
    assert "empty.pth lacks" in capsys.readouterr().err
