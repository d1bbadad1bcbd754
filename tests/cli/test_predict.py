import errno
import io
import json
import os
import shutil
import sys

import cv2
import numpy as np
import pytest
import trimesh
from plyfile import PlyData

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
        (["{pictures}", "--text", TEXT, "--fov", "60", "--intrinsics", "9", "9", "9", "9"], "give one of them"),
        (["{pictures}", "--text", TEXT, "--intrinsics", "0", "0", "160", "120"], "fx and fy above 0"),
        (["{pictures}", "--text", TEXT, "--intrinsics", "99", "99", "160", "120"], "lies outside the picture"),
        (
            ["{pictures}", "--text", TEXT, "--size", "100", "140"],
            "multiples of the patch size, 14, such as 98 × 140, not 100 × 140",
        ),
        (["{pictures}", "--text", "caf\udce9"], "the text is not UTF-8"),
    ],
)
def test_bad_input_is_one_line_and_status_2(pictures, tmp_path, capsys, arguments, message):
    filled = [argument.format(pictures=pictures) for argument in arguments]
    assert main(["predict", *filled, "--device", "cpu", "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not list((tmp_path / "out").rglob("*.*"))


@pytest.mark.parametrize(
    "option", [["--batch-size", "-1"], ["--batch-size", "0"], ["--size", "0", "0"], ["--size", "-14", "28"]]
)
def test_values_are_checked(option, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["predict", "a.png", *option])
    assert stopped.value.code == 2
    assert "is not a whole number above 0" in capsys.readouterr().err


def test_what_is_not_ours_stays(trained, pictures, capsys):
    (pictures / "a_depth.png").write_bytes(b"truth")
    (pictures / "b.json").write_text('{"shapes": []}')
    arguments = ["--model", str(trained / "model"), "--device", "cpu", "--text", TEXT, "--out", str(pictures)]
    assert main(["predict", str(pictures / "a.jpg"), str(pictures / "b.jpg"), *arguments]) == 2
    error = capsys.readouterr().err
    assert "a_depth.png is there already and is not of a prediction" in error
    assert "b.json is there already" in error
    assert "choose another folder with --out" in error
    assert sorted(path.name for path in pictures.iterdir()) == ["a.jpg", "a_depth.png", "b.jpg", "b.json"]
    assert (pictures / "a_depth.png").read_bytes() == b"truth"


def test_names_in_any_encoding_and_millimetres_are_said(trained, pictures, tmp_path, monkeypatch):
    odd = pictures / os.fsdecode(b"caf\xe9 \xff.jpg")
    shutil.copy(pictures / "a.jpg", odd)
    shutil.copy(pictures / "a.jpg", pictures / ("n" * 246 + ".jpg"))
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    arguments = ["--model", str(trained / "model"), "--device", "cpu", "--out", str(tmp_path / "out"), "--unit", "m"]
    assert main(["predict", str(pictures), "--text", "The colon, $x$ Ba$$in.", *arguments]) == 2
    for stream in (sys.stdout, sys.stderr):
        stream.seek(0)
    out, error = sys.stdout.read(), sys.stderr.read()
    assert "caf_ _.npy and 3 more" in out
    assert "File name too long" in error
    assert "1 of 4 pictures failed" in error
    assert (tmp_path / "out" / "caf_ __color.png").is_file()
    assert json.loads((tmp_path / "out" / "b.json").read_text())["unit_reason"].startswith("asked for; the model's own")
    assert "depth is in mm" not in error
    main(["predict", str(pictures / "b.jpg"), "--text", "A view of the colon.", *arguments[:-2]])
    sys.stderr.seek(0)
    assert "tr2m: b: depth is in mm: the description says 'colon'\n" in sys.stderr.read()


def test_a_full_disk_stops_with_a_line(trained, pictures, tmp_path, capsys, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tr2m_plugin.inference.outputs.write_prediction", full)
    arguments = ["--model", str(trained / "model"), "--device", "cpu", "--out", str(tmp_path / "out")]
    assert main(["predict", str(pictures), "--text", TEXT, *arguments]) == 2
    assert f"tr2m: {tmp_path / 'out'}: No space left on device: make room" in capsys.readouterr().err


def test_a_missing_extra_is_one_line(pictures, tmp_path, capsys, monkeypatch):
    for name in [m for m in sys.modules if m == "transformers" or m.startswith("transformers.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert main(["predict", str(pictures), "--text", TEXT, "--out", str(tmp_path / "out")]) == 2
    assert "pip install 'tr2m_plugin[data]'" in capsys.readouterr().err


def test_a_room_in_metres_with_anchors_at_an_odd_size(trained, tmp_path, capsys):
    """The wall that the anchors say is where they say in the cloud and in the mesh."""
    size = (61, 83)
    cv2.imwrite(str(tmp_path / "wall_rgb.png"), np.full((*size, 3), 90, np.uint8))
    (tmp_path / "wall.csv").write_text("u,v,depth\n41,30,2500\n")
    matrix = np.array([[80.0, 0, 41], [0, 80, 30], [0, 0, 1]])
    file = cv2.FileStorage(str(tmp_path / "camera.yaml"), cv2.FILE_STORAGE_WRITE)
    for name, value in (("image_width", 83), ("image_height", 61), ("camera_matrix", matrix)):
        file.write(name, value)
    file.release()
    out = tmp_path / "out"
    known = ["--anchor", str(tmp_path), "--anchor-unit", "mm", "--camera", str(tmp_path / "camera.yaml")]
    wanted = ["--cloud", "ply", "glb", "--keep-edges", "--unit", "mm", "--out", str(out)]
    arguments = ["--text", TEXT, "--model", str(trained / "model"), "--device", "cpu", *known, *wanted]
    assert main(["predict", str(tmp_path / "wall_rgb.png"), *arguments]) == 0
    facts = json.loads((out / "wall_rgb.json").read_text())
    assert facts["anchors"]["source"] == str(tmp_path / "wall.csv")
    assert (facts["anchors"]["points"], facts["anchors"]["shift"], facts["unit"]) == (1, 0, "mm")
    assert facts["intrinsics"]["source"] == str(tmp_path / "camera.yaml")
    assert np.load(out / "wall_rgb.npy")[30, 41] == pytest.approx(2500, rel=1e-4)
    vertices = PlyData.read(str(out / "wall_rgb.ply"))["vertex"]
    point = [vertices[axis][30 * 83 + 41] for axis in "xyz"]
    assert point == pytest.approx([0, 0, 2.5], rel=1e-4)
    (mesh,) = trimesh.load(out / "wall_rgb.glb").geometry.values()
    assert mesh.vertices[30 * 83 + 41].tolist() == pytest.approx([0, 0, -2.5], rel=1e-4)
    assert main(["predict", str(tmp_path / "wall_rgb.png"), *arguments, "--cloud", "none"]) == 0
    assert json.loads((out / "wall_rgb.json").read_text())["files"][-1] == "wall_rgb.json"


def test_anchors_that_are_wrong_end_their_picture_alone(trained, pictures, tmp_path, capsys):
    (tmp_path / "known").mkdir()
    (tmp_path / "known" / "a.csv").write_text("u,v,depth\n5,5,3\n70,5,3\n")
    (tmp_path / "known" / "b.csv").write_text("u,v,depth\n5,5,3\n")
    arguments = ["--text", TEXT, "--model", str(trained / "model"), "--device", "cpu", "--out", str(tmp_path / "out")]
    assert main(["predict", str(pictures), *arguments, "--anchor", str(tmp_path / "known")]) == 2
    error = capsys.readouterr().err
    assert f"tr2m: {tmp_path / 'known' / 'a.csv'}, line 3: the point 70, 5 lies outside the picture of 30 × 20" in error
    assert "1 of 2 pictures failed" in error
    assert json.loads((tmp_path / "out" / "b.json").read_text())["anchors"]["points"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cloud", "ply"], "no camera is known, as the picture has no focal length in EXIF data"),
        (["--camera", "nowhere.yaml"], "nowhere.yaml does not exist"),
        (["--camera", "nowhere.yaml", "--fov", "60"], "give one of them"),
        (["--anchor", "nowhere.csv"], "nowhere.csv does not exist"),
        (["--anchor", "{pictures}"], "holds no anchors of these pictures"),
    ],
)
def test_what_is_not_known_of_a_camera_or_depth_is_one_line(trained, pictures, tmp_path, capsys, arguments, message):
    filled = [argument.format(pictures=pictures) for argument in arguments]
    model = ["--text", TEXT, "--model", str(trained / "model"), "--device", "cpu", "--out", str(tmp_path / "out")]
    assert main(["predict", str(pictures), *filled, *model]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not list((tmp_path / "out").rglob("*.*"))
