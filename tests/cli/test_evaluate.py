import json

import numpy as np
import pytest
from PIL import Image

from tr2m_plugin.cli import main


@pytest.fixture
def measured(tmp_path):
    """Options that evaluate two predictions on disk, the second made of its picture as it is stored."""
    (tmp_path / "own").mkdir()
    (tmp_path / "predictions").mkdir()
    for name, orientation in (("a", 1), ("b", 6)):
        exif = Image.Exif()
        exif[274] = orientation
        Image.new("RGB", (8, 6)).save(tmp_path / "own" / f"{name}.jpg", exif=exif)
        depth = np.arange(1000, 1048, dtype=np.uint16).reshape(6, 8)
        Image.fromarray(depth).save(tmp_path / "own" / f"{name}_depth.png")
        np.save(tmp_path / "predictions" / f"{name}.npy", depth.astype(np.float32) * np.float32(0.001))
    entry = {"type": "RGBDFolder", "root": str(tmp_path / "own"), "image": "*.jpg", "depth": "*_depth.png"}
    entry |= {"name": "own", "depth_scale": 0.001, "unit": "m", "depth_range": [0.3, 10]}
    (tmp_path / "roots.yaml").write_text(json.dumps([entry]))
    read = ["--predictions", tmp_path / "predictions", "--roots", tmp_path / "roots.yaml", "--workers", "0"]
    return ["evaluate", *map(str, read), "--returns", "depth", "--unit", "m", "--out", str(tmp_path / "out")]


def test_predictions_of_pictures_that_were_not_turned_upright_fail(measured, tmp_path, capsys):
    assert main([*measured, "--no-pictures"]) == 2
    assert "own/b: the prediction is 6 × 8 and the truth 8 × 6: was the picture not turned" in capsys.readouterr().err
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())["predictions"]["datasets"]["own"]
    assert (found["images"], found["failed"], found["abs_rel"], found["d1"]) == (1, 1, 0, 1)


def test_an_evaluation_replaces_no_table_or_drawing_of_others(measured, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    for name in ("dataset_own.tex", "dataset_own.md", "errors_own.png", "corrections_own.png", "table_1.tex"):
        (tmp_path / "out" / name).write_text("mine")
        assert main(measured) == 2
        assert f"{name} is there already and is not an evaluation's" in capsys.readouterr().err
        assert [path.read_text() for path in (tmp_path / "out").iterdir()] == ["mine"]
        (tmp_path / "out" / name).unlink()
    for _ in range(2):  # its own it replaces
        main(measured)
        assert "is there already" not in capsys.readouterr().err
