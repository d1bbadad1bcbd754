import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from plyfile import PlyData

from tr2m_plugin.errors import InputError
from tr2m_plugin.inference.outputs import Intrinsics, Prediction, back_project, png_scale, write_prediction


def prediction(depth, name="a"):
    image = np.random.default_rng(0).integers(0, 255, (*depth.shape, 3), np.uint8)
    small = np.ones((2, 2), np.float32)
    return Prediction(name, image, depth.astype(np.float32), "m", "a room", small, small, small)


def test_the_files_say_the_same(tmp_path):
    depth = np.random.default_rng(0).uniform(0.5, 9.3, (20, 30))
    found = prediction(depth, "sub/a")
    camera = Intrinsics(25.0, 26.0, 14.5, 9.5)
    files = write_prediction(tmp_path, found, camera)
    assert sorted(f.name for f in files) == ["a.json", "a.npy", "a.ply", "a_color.png", "a_depth.png"]
    assert sorted(p.name for p in (tmp_path / "sub").iterdir()) == sorted(f.name for f in files)
    np.testing.assert_array_equal(np.load(tmp_path / "sub" / "a.npy"), found.depth)
    facts = json.loads((tmp_path / "sub" / "a.json").read_text())
    assert (facts["unit"], facts["text"], facts["height"], facts["width"]) == ("m", "a room", 20, 30)
    stored = cv2.imread(str(tmp_path / "sub" / "a_depth.png"), cv2.IMREAD_UNCHANGED)
    assert stored.dtype == np.uint16
    np.testing.assert_allclose(stored * facts["png_scale"], depth, atol=facts["png_scale"] / 2 + 1e-6)
    vertices = PlyData.read(str(tmp_path / "sub" / "a.ply"))["vertex"]
    points = np.stack([vertices[axis] for axis in "xyz"], -1).reshape(20, 30, 3)
    np.testing.assert_allclose(points[..., 2], depth, rtol=1e-6)
    u = points[..., 0] / points[..., 2] * camera.fx + camera.cx
    np.testing.assert_allclose(u, np.indices((20, 30))[1], atol=1e-4)
    assert vertices["green"][31] == found.image[1, 1, 1]


@pytest.mark.parametrize(("largest", "step"), [(9.3, 0.001), (65.535, 0.001), (66.0, 0.01), (0.2, 1e-5), (0, 1)])
def test_the_png_is_as_fine_as_16_bits_allow(largest, step):
    assert png_scale(np.array([0.0, largest])) == pytest.approx(step)


def test_a_field_of_view_is_a_camera():
    camera = Intrinsics.from_fov(90, 100, 200)
    assert camera.fx == pytest.approx(100)
    left = back_project(np.full((100, 200), 2.0), camera)[50, 0]
    assert left[0] == pytest.approx(-2 * 99.5 / 100)
    for wrong in (0, 180, -3):
        with pytest.raises(InputError, match="between 0 and 180"):
            Intrinsics.from_fov(wrong, 10, 10)


def test_nothing_is_left_half_written(tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, "imwrite", lambda path, _: bool(Path(path).write_text("half")) and False)
    with pytest.raises(InputError, match="could not be written"):
        write_prediction(tmp_path, prediction(np.ones((4, 4))))
    assert [p.name for p in tmp_path.iterdir()] == ["a.npy"]
