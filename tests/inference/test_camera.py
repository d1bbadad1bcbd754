import numpy as np
import pytest
from plyfile import PlyData

from tr2m_plugin.errors import InputError
from tr2m_plugin.inference import camera as module
from tr2m_plugin.inference.camera import Intrinsics, back_project, camera_of, write_ply


def test_a_field_of_view_is_a_camera():
    camera = Intrinsics.from_fov(90, 100, 200)
    assert camera.fx == pytest.approx(100)
    left = back_project(np.full((100, 200), 2.0), camera)[50, 0]
    assert left[0] == pytest.approx(-2 * 99.5 / 100)
    for wrong in (0, 180, -3, float("nan")):
        with pytest.raises(InputError, match="between 0 and 180"):
            camera_of((10, 10), fov=wrong)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((0, 0, 160, 120), "fx and fy above 0, .* in pixels, not 0 0 160 120"),
        ((float("nan"), 500, 160, 120), "in pixels, not nan 500"),
        ((500, float("inf"), 160, 120), "in pixels, not 500 inf"),
        ((500, -500, 160, 120), "in pixels, not 500 -500"),
        ((500, 500, -1, 120), "inside the picture"),
        ((0.8, 1.07, 0.5, 0.5), "are normalised: multiply fx and cx by the width"),
        ((500, 500, 640, 120), "640, 120 lies outside the picture of 320 × 240"),
        ((500, 500, 160, 240), "160, 240 lies outside"),
        ((500, 500, 160), "fx, fy, cx, cy, not 3 numbers"),
    ],
)
def test_what_is_no_camera_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        camera_of((240, 320), intrinsics=given)


def test_a_camera_is_given_once():
    assert camera_of((240, 320)) is None
    assert camera_of((240, 320), intrinsics=(500, 501, 159.5, 119.5)) == Intrinsics(500, 501, 159.5, 119.5)
    with pytest.raises(InputError, match="leave one of them out"):
        camera_of((240, 320), 60, (500, 500, 160, 120))


def test_a_cloud_is_written_by_rows(tmp_path, monkeypatch):
    depth = np.random.default_rng(0).uniform(1, 9, (7, 5)).astype(np.float32)
    colors = np.random.default_rng(1).integers(0, 255, (7, 5, 3), np.uint8)
    camera = Intrinsics(20.0, 21.0, 2.0, 3.0)
    monkeypatch.setattr(module, "ROWS", 3)
    write_ply(tmp_path / "a.ply", depth, colors, camera, "mm")
    cloud = PlyData.read(str(tmp_path / "a.ply"))
    points = np.stack([cloud["vertex"][axis] for axis in "xyz"], -1)
    np.testing.assert_array_equal(points.reshape(7, 5, 3), back_project(depth, camera))
    assert cloud["vertex"]["blue"].tolist() == colors[..., 2].ravel().tolist()
    assert cloud.comments[0].startswith("unit: mm; x to the right")


def test_intrinsics_of_a_picture_of_another_size_are_told(caplog):
    camera_of((1440, 1920), intrinsics=(585, 585, 320, 240))  # of 640 × 480
    assert "the principal point 320, 240 lies far from the middle of the picture of 1920 × 1440" in caplog.text
    caplog.clear()
    camera_of((480, 640), intrinsics=(585, 585, 250, 300))
    assert not caplog.text


def test_cameras_are_numbers():
    for wrong in (["a", "b", "c", "d"], [500, None, 3, 4], 5):
        with pytest.raises(InputError, match="intrinsics are"):
            camera_of((240, 320), intrinsics=wrong)
    with pytest.raises(InputError, match="field of view"):
        camera_of((240, 320), fov="wide")
    assert camera_of((240, 320), intrinsics=np.array([500, 500, 160, 120])).fx == 500
