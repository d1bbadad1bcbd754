import errno
import json
import os
import socket
import subprocess
from dataclasses import replace

import cv2
import numpy as np
import pytest
import trimesh
from PIL import Image
from plyfile import PlyData

from tr2m_plugin.errors import InputError
from tr2m_plugin.files import write_whole
from tr2m_plugin.inference.camera import Intrinsics
from tr2m_plugin.inference.clouds import EDGE, Cloud
from tr2m_plugin.inference.outputs import Prediction, png_scale, write_png, write_prediction
from tr2m_plugin.replacing import PNG_MARK, is_drawing


def prediction(depth, name="a"):
    image = np.random.default_rng(0).integers(0, 255, (*depth.shape, 3), np.uint8)
    small = np.ones((2, 2), np.float32)
    return Prediction(name, image, depth.astype(np.float32), "m", "a room", small, small, small)


def test_the_files_say_the_same(tmp_path):
    depth = np.random.default_rng(0).uniform(0.5, 9.3, (20, 30))
    found = prediction(depth, "sub/a")
    camera = Intrinsics(25.0, 26.0, 14.5, 9.5)
    files = write_prediction(tmp_path, found, camera, cloud=Cloud(keep_edges=True))
    assert sorted(f.name for f in files) == ["a.json", "a.npy", "a.ply", "a_color.png", "a_depth.png"]
    assert sorted(p.name for p in (tmp_path / "sub").iterdir()) == sorted(f.name for f in files)
    np.testing.assert_array_equal(np.load(tmp_path / "sub" / "a.npy"), found.depth)
    facts = json.loads((tmp_path / "sub" / "a.json").read_text())
    assert (facts["unit"], facts["text"], facts["height"], facts["width"]) == ("m", "a room", 20, 30)
    stored = cv2.imread(str(tmp_path / "sub" / "a_depth.png"), cv2.IMREAD_UNCHANGED)
    assert stored.dtype == np.uint16
    np.testing.assert_allclose(stored * facts["png_scale"], depth, atol=facts["png_scale"] / 2 + 1e-6)
    cloud = PlyData.read(str(tmp_path / "sub" / "a.ply"))
    assert cloud.comments == ["unit: m; x to the right, y down, z forward from the camera"]
    vertices = PlyData.read(str(tmp_path / "sub" / "a.ply"))["vertex"]
    points = np.stack([vertices[axis] for axis in "xyz"], -1).reshape(20, 30, 3)
    np.testing.assert_allclose(points[..., 2], depth, rtol=1e-6)
    u = points[..., 0] / points[..., 2] * camera.fx + camera.cx
    np.testing.assert_allclose(u, np.indices((20, 30))[1], atol=1e-4)
    assert vertices["green"][31] == found.image[1, 1, 1]


@pytest.mark.parametrize(("largest", "step"), [(9.3, 0.001), (65.535, 0.001), (66.0, 0.01), (0.2, 1e-5), (0, 1)])
def test_the_png_is_as_fine_as_16_bits_allow(largest, step):
    assert png_scale(np.array([0.0, largest])) == pytest.approx(step)


def test_the_json_says_what_the_numbers_are(tmp_path):
    found = replace(prediction(np.full((4, 6), 2.5)), unit_reason="because", model="mine", weights="0123")
    write_prediction(tmp_path, found, Intrinsics(25.0, 26.0, 2.5, 1.5))
    facts = json.loads((tmp_path / "a.json").read_text())
    assert facts["format"] == "tr2m prediction"
    assert (facts["unit_reason"], facts["model"], facts["weights"]) == ("because", "mine", "0123")
    assert facts["depth_range"] == [2.5, 2.5]
    assert facts["intrinsics"] == {"fx": 25.0, "fy": 26.0, "cx": 2.5, "cy": 1.5, "source": "given"}
    assert sorted(facts["files"]) == sorted(path.name for path in tmp_path.iterdir())


def test_clouds_are_in_metres_and_only_where_they_are_wanted(tmp_path):
    depth = np.full((9, 12), 40.0)
    depth[:, 6:] = 80
    found = replace(prediction(depth), unit="mm")
    camera = Intrinsics(25.0, 26.0, 2.5, 1.5)
    files = write_prediction(tmp_path, found, camera, cloud=Cloud(["ply", "glb"], max_depth=0.06, keep_edges=True))
    assert [path.name for path in files][-2:] == ["a.ply", "a.glb"]
    facts = json.loads((tmp_path / "a.json").read_text())
    assert facts["cloud"] == {"unit": "m", "points": 54, "edge": None, "max_depth": 0.06}
    assert (facts["unit"], facts["depth_range"]) == ("mm", [40, 80])
    vertices = PlyData.read(str(tmp_path / "a.ply"))["vertex"]
    assert set(vertices["z"]) == {np.float32(40) * np.float32(0.001)}
    (mesh,) = trimesh.load(tmp_path / "a.glb").geometry.values()
    assert set(mesh.vertices[:, 2]) == {-np.float32(40) * np.float32(0.001)}
    write_prediction(tmp_path, found, replace(camera, source="EXIF: 26 mm on 35 mm film"))
    facts = json.loads((tmp_path / "a.json").read_text())
    assert facts["cloud"] is None
    assert facts["intrinsics"]["source"] == "EXIF: 26 mm on 35 mm film"
    assert sorted(facts["files"]) == sorted(path.name for path in tmp_path.iterdir()), "those of before are gone"
    write_prediction(tmp_path, replace(found, relative=np.ones((9, 12), np.float32)), camera)
    cloud = {"unit": "m", "points": 90, "edge": EDGE, "max_depth": None}
    assert json.loads((tmp_path / "a.json").read_text())["cloud"] == cloud


def test_a_cloud_that_cannot_be_is_told_before_anything_is_written(tmp_path):
    found, camera = prediction(np.ones((4, 6))), Intrinsics(25.0, 26.0, 2.5, 1.5)
    for known, cloud, message in (
        (None, Cloud(["ply"]), "a: no camera is known"),
        (camera, Cloud(max_depth=0.5), "a: of its 1 to 1 m no point is left"),
        (camera, Cloud(["glb"], max_depth=0.5), "no point is left"),
    ):
        with pytest.raises(InputError, match=message):
            write_prediction(tmp_path, found, known, cloud=cloud)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("strip", [1, 20, 10**6])
def test_the_png_of_a_gigantic_picture_is_made_in_strips(tmp_path, monkeypatch, strip):
    monkeypatch.setattr("tr2m_plugin.inference.outputs.STRIP", strip)
    depth = np.linspace(1, 130, 63, dtype=np.float32).reshape(7, 9)
    write_prediction(tmp_path, prediction(depth), png_unit="mm")
    millimetres = np.round(depth * 1000)
    stored = cv2.imread(str(tmp_path / "a_depth.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_allclose(stored, np.where(millimetres > 65535, 0, millimetres), atol=1)
    assert json.loads((tmp_path / "a.json").read_text())["png_beyond"] == (millimetres > 65535).sum() > 0


def test_a_png_in_millimetres_for_ros(tmp_path):
    depth = np.array([[0.5, 65.536], [2.0004, 70.0]])
    write_prediction(tmp_path, prediction(depth), png_unit="mm")
    stored = cv2.imread(str(tmp_path / "a_depth.png"), cv2.IMREAD_UNCHANGED)
    assert stored.tolist() == [[500, 0], [2000, 0]], "what does not fit is no measurement"
    facts = json.loads((tmp_path / "a.json").read_text())
    assert (facts["png_scale"], facts["png_beyond"]) == (0.001, 2)
    write_prediction(tmp_path, replace(prediction(depth), unit="mm"), png_unit="mm")
    assert json.loads((tmp_path / "a.json").read_text())["png_scale"] == 1
    with pytest.raises(InputError, match="png_unit is mm or None, not 'cm'"):
        write_prediction(tmp_path, prediction(depth), png_unit="cm")


@pytest.mark.parametrize("name", ["a_depth.png", "a.json", "a.npy", "a_color.png"])
def test_no_file_of_another_is_replaced(tmp_path, name):
    found = prediction(np.ones((4, 4)))
    (tmp_path / name).write_text('{"shapes": []}')
    with pytest.raises(InputError, match=rf"{name} is there already and is not of a prediction .* another folder with"):
        write_prediction(tmp_path, found)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == '{"shapes": []}'


def test_ones_own_files_are_replaced_and_no_others(tmp_path):
    found = prediction(np.ones((4, 4)))
    write_prediction(tmp_path, found, Intrinsics(5.0, 5.0, 1.5, 1.5))
    write_prediction(tmp_path, replace(found, depth=found.depth * 2))
    assert np.load(tmp_path / "a.npy").max() == 2
    assert not (tmp_path / "a.ply").exists(), "the cloud was another depth's"
    (tmp_path / "a.ply").write_text("somebody's")
    with pytest.raises(InputError, match=r"a.ply is there already"):
        write_prediction(tmp_path, found, Intrinsics(5.0, 5.0, 1.5, 1.5))
    crafted = {"format": "tr2m prediction", "files": ["../b.txt", "a.json", 7]}
    (tmp_path / "b.txt").write_text("kept")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.json").write_text(json.dumps(crafted))
    write_prediction(tmp_path / "out", found)
    assert (tmp_path / "b.txt").read_text() == "kept"


def test_another_pictures_prediction_is_not_replaced(tmp_path):
    first, second = tmp_path / "first" / "a.jpg", tmp_path / "second" / "a.jpg"
    for path in (first, second):
        path.parent.mkdir()
        path.touch()
    found = replace(prediction(np.ones((4, 4))), source=str(first))
    write_prediction(tmp_path, found)
    assert json.loads((tmp_path / "a.json").read_text())["picture"] == str(first)
    for other in (str(second), None):
        with pytest.raises(InputError, match=rf"a.json is of another picture, {first}: choose another"):
            write_prediction(tmp_path, replace(found, source=other, depth=found.depth * 2))
    assert np.load(tmp_path / "a.npy").max() == 1
    first.unlink()  # or moved, and then predicted again
    write_prediction(tmp_path, replace(found, source=str(second), depth=found.depth * 2))
    assert np.load(tmp_path / "a.npy").max() == 2


def test_any_name_and_any_sentence(tmp_path):
    found = prediction(np.ones((4, 4)), os.fsdecode(b"caf\xe9 \xff"))
    files = write_prediction(tmp_path, replace(found, text="A poster of Ba$$in, $x^ \ud800 \x00 \u4f60."))
    assert all(file.is_file() for file in files)
    assert read_png(files[2]).shape == read_png(write_prediction(tmp_path, prediction(np.ones((4, 4))))[2]).shape
    with pytest.raises(OSError, match="too long"):
        write_prediction(tmp_path / "long", prediction(np.ones((4, 4)), "n" * 248))
    assert not list((tmp_path / "long").iterdir()), "nothing of it is written"


def read_png(path):
    return cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)


def test_what_a_killed_run_left_is_swept(tmp_path):
    ended = subprocess.Popen(["true"])
    ended.wait()
    left = tmp_path / f".partial-{socket.gethostname()}-{ended.pid}-1.npy"
    left.write_text("half")
    write_prediction(tmp_path, prediction(np.ones((4, 4))))
    assert not left.exists()


def test_a_picture_can_carry_text(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (5, 7, 3), np.uint8)
    write_png(tmp_path / "plain.png", pixels)
    write_png(tmp_path / "marked.png", pixels, PNG_MARK)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "marked.png")), pixels)
    assert Image.open(tmp_path / "marked.png").text == PNG_MARK
    assert (is_drawing(tmp_path / "marked.png"), is_drawing(tmp_path / "plain.png")) == (True, False)


def test_nothing_is_left_half_written(tmp_path, monkeypatch):
    def full(path, write):
        if path.suffix == ".png":
            write(path.with_name(".partial-1.png"))
            path.with_name(".partial-1.png").unlink()
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_whole(path, write)

    monkeypatch.setattr("tr2m_plugin.inference.outputs.write_whole", full)
    with pytest.raises(OSError, match="No space"):
        write_prediction(tmp_path, prediction(np.ones((4, 4))))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.npy"]
    monkeypatch.undo()
    assert len(write_prediction(tmp_path, prediction(np.ones((4, 4))))) == 4, "the next run may replace them"
