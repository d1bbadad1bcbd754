import json

import cv2
import numpy as np
import pytest
from PIL import Image

from tr2m_plugin.datasets.headers import turn
from tr2m_plugin.errors import InputError
from tr2m_plugin.inference.camera import Cameras, Intrinsics

SIZE = (240, 320)


@pytest.fixture
def photograph(tmp_path):
    """Writes a picture with EXIF data."""

    def write(size, orientation=None, ending=".jpg", **tags):
        exif = Image.Exif()
        exif[0x010F] = "somebody"
        if orientation:
            exif[0x0112] = orientation
        numbers = {"film": 0xA405, "focal": 0x920A, "wide": 0xA002, "high": 0xA003}
        numbers |= {"across": 0xA20E, "down": 0xA20F, "unit": 0xA210}
        for name, value in tags.items():
            exif.get_ifd(0x8769)[numbers[name]] = value
        path = tmp_path / f"photograph{ending}"
        saved = {"tiffinfo": {0x8769: dict(exif.get_ifd(0x8769))}} if ending == ".tif" else {"exif": exif}
        Image.fromarray(np.zeros((*size, 3), np.uint8)).save(path, **saved)
        return path

    return write


def test_a_field_of_view_is_a_camera():
    camera = Cameras(fov=90).of((100, 200))
    assert camera == Intrinsics(pytest.approx(100), pytest.approx(100), 99.5, 49.5, camera.source)
    assert camera.source == "horizontal field of view of 90 degrees"
    for wrong in (0, 180, -3, float("nan")):
        with pytest.raises(InputError, match="between 0 and 180"):
            Cameras(fov=wrong)


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
        Cameras(intrinsics=given).of(SIZE)


def test_a_camera_is_given_once(tmp_path):
    assert Cameras().of(SIZE) is None
    assert Cameras(intrinsics=(500, 501, 159.5, 119.5)).of(SIZE) == Intrinsics(500, 501, 159.5, 119.5)
    for given in ({"intrinsics": (500, 500, 160, 120)}, {"file": tmp_path / "camera.yaml"}):
        with pytest.raises(InputError, match="give one of them"):
            Cameras(fov=60, **given)


def test_intrinsics_of_a_picture_of_another_size_are_told(caplog):
    Cameras(intrinsics=(585, 585, 320, 240)).of((1440, 1920))  # of 640 × 480
    assert "the principal point 320, 240 lies far from the middle of the picture of 1920 × 1440" in caplog.text
    caplog.clear()
    Cameras(intrinsics=(585, 585, 250, 300)).of((480, 640))
    assert not caplog.text


def test_cameras_are_numbers():
    for wrong in (["a", "b", "c", "d"], [500, None, 3, 4], 5):
        with pytest.raises(InputError, match="intrinsics are"):
            Cameras(intrinsics=wrong)
    with pytest.raises(InputError, match="field of view"):
        Cameras(fov="wide")
    assert Cameras(intrinsics=np.array([500, 500, 160, 120])).of(SIZE).fx == 500


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp", ".tif"])
def test_a_focal_length_on_film_is_of_the_diagonal(photograph, ending):
    path = photograph((300, 400), ending=ending, film=26)
    camera = Cameras().of((300, 400), path)
    assert (camera.fx, camera.fy) == pytest.approx((26 * 500 / 43.2666, 26 * 500 / 43.2666), rel=1e-5)
    assert (camera.cx, camera.cy, camera.source) == (199.5, 149.5, "EXIF: 26 mm on 35 mm film")
    assert camera.is_read
    assert not Cameras(fov=60).of((300, 400), path).is_read, "what is given counts"


@pytest.mark.parametrize(("unit", "millimetres"), [(2, 25.4), (3, 10), (4, 1), (None, 25.4)])
def test_a_focal_length_with_the_sensors_resolution(photograph, unit, millimetres):
    """Of a picture of 4000 × 3000, made smaller since and turned; the sensor's pixels are not square."""
    tags = {"focal": 6.0, "across": 600.0 * millimetres, "down": 500.0 * millimetres, "wide": 4000, "high": 3000}
    path = photograph((300, 400), orientation=6, **tags, **({} if unit is None else {"unit": unit}))
    camera = Cameras().of((400, 300), path)
    assert (camera.fx, camera.fy) == pytest.approx((6 * 500 / 10, 6 * 600 / 10))
    assert (camera.cx, camera.cy) == (149.5, 199.5)
    assert camera.source == "EXIF: 6 mm and the resolution of the sensor"


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"film": 0},
        {"film": 1},
        {"focal": 6.0},
        {"focal": 6.0, "across": 600.0, "unit": 9},
        {"film": 26, "wide": 4000, "high": 2250},
    ],
)
def test_what_exif_data_do_not_say_is_not_known(photograph, tags):
    assert Cameras().of((300, 400), photograph((300, 400), **tags)) is None


def opencv(path, matrix, size=None, distortion=None):
    file = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    if size:
        file.write("image_width", size[1])
        file.write("image_height", size[0])
    file.write("camera_matrix", matrix)
    if distortion is not None:
        file.write("distortion_coefficients", distortion)
    file.release()
    return path


MATRIX = np.array([[500.0, 0, 170], [0, 510, 100], [0, 0, 1]])
ROS = """image_width: 320
image_height: 240
camera_name: head
camera_matrix:
  rows: 3
  cols: 3
  data: [500.0, 0.0, 170.0, 0.0, 510.0, 100.0, 0.0, 0.0, 1.0]
distortion_coefficients: {rows: 1, cols: 5, data: [0, 0, 0, 0, 0]}
"""
TOPIC = """header:
  seq: 3
height: 240
width: 320
distortion_model: "plumb_bob"
D: [0.0, 0.0]
K: [500.0, 0.0, 170.0, 0.0, 510.0, 100.0, 0.0, 0.0, 1.0]
---
"""


def test_files_of_many_kinds_say_the_same(tmp_path, caplog):
    texts = {
        "ros.yaml": ROS,
        "topic.yaml": TOPIC,
        "plain.yaml": "{fx: 500, fy: 510, cx: 170, cy: 100, width: 320, height: 240}",
        "rows.json": json.dumps({"K": MATRIX.tolist(), "width": 320, "height": 240}),
        "ours.json": json.dumps(
            {"height": 240, "width": 320, "intrinsics": Intrinsics(500, 510, 170, 100).as_dict(), "files": []}
        ),
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    opencv(tmp_path / "opencv.yaml", MATRIX, SIZE, np.zeros((1, 5)))
    opencv(tmp_path / "opencv.json", MATRIX, SIZE)
    opencv(tmp_path / "unsized.yml", MATRIX)
    for path in tmp_path.iterdir():
        assert Cameras(file=path).of(SIZE) == Intrinsics(500, 510, 170, 100, str(path)), path.name
    assert not caplog.text
    opencv(tmp_path / "bent.yaml", MATRIX, SIZE, np.full((1, 5), 0.1))
    Cameras(file=tmp_path / "bent.yaml")
    assert "bent.yaml: the lens's distortion is not applied" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "it must hold a camera matrix by name"),
        ("{a: 1}", "neither camera_matrix nor K nor fx"),
        ("{K: [1, 2, 3]}", "the camera matrix must be fx 0 cx"),
        ("{K: [500, 0, 170, 0, 510, 100, 0, 0, 2]}", "the camera matrix must be"),
        ("{fx: 500, fy: 510, cx: 170, cy: wide}", "neither camera_matrix"),
        ("{fx: 500, fy: -510, cx: 170, cy: 100}", "camera.yaml: intrinsics are fx and fy above 0"),
        ("{fx: 500, fy: 510, cx: 170, cy: 100, width: 320}", r"height and width must be .* not \[None, 320\]"),
        ("{fx: 500, fy: 510, cx: 170, cy: 100, width: 320, height: 0}", "height and width must be"),
        ("a: [", "is not YAML"),
    ],
)
def test_files_that_are_no_camera_are_named(tmp_path, text, message):
    path = tmp_path / "camera.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        Cameras(file=path)
    assert str(path) in str(caught.value)
    with pytest.raises(InputError, match="does not exist"):
        Cameras(file=tmp_path / "nothing.yaml")


def test_a_file_is_scaled_to_the_picture(tmp_path):
    path = opencv(tmp_path / "camera.yaml", MATRIX, SIZE)
    camera = Cameras(file=path).of((481, 641))
    y, x = 481 / 240, 641 / 320
    assert (camera.fx, camera.fy) == pytest.approx((500 * x, 510 * y))
    assert (camera.cx, camera.cy) == pytest.approx((170.5 * x - 0.5, 100.5 * y - 0.5))
    assert camera.source == f"{path}, of 320 × 240"
    with pytest.raises(InputError, match="is the camera of pictures of 320 × 240, and this one has 320 × 180, another"):
        Cameras(file=path).of((180, 320))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("own", [(240, 320), (480, 640), None])
def test_a_file_is_turned_with_the_picture(tmp_path, photograph, orientation, own):
    """What a pixel sees does not change when the picture is turned, but for the names of the axes."""
    by = 1 if own is None else own[0] / 240
    scaled = MATRIX * [[by, 1, 1], [1, by, 1], [1, 1, 1]] + [
        [0, 0, 170.5 * (by - 1)],
        [0, 0, 100.5 * (by - 1)],
        [0] * 3,
    ]
    path = opencv(tmp_path / "camera.yaml", scaled, own)
    v, u = np.indices(SIZE)
    seen = np.stack([(u - 170) / 500, (v - 100) / 510], -1)
    turned = turn(seen, orientation)
    camera = Cameras(file=path).of(turned.shape[:2], photograph(SIZE, orientation))
    v, u = np.indices(turned.shape[:2])
    found = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy], -1)
    expected = turned[..., ::-1] if orientation > 4 else turned
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-9)
    assert camera.fx == pytest.approx(510 if orientation > 4 else 500)


def test_a_file_of_upright_pictures_is_not_turned(tmp_path, photograph):
    path = opencv(tmp_path / "camera.yaml", np.array([[510.0, 0, 100], [0, 500, 170], [0, 0, 1]]), (320, 240))
    camera = Cameras(file=path).of((320, 240), photograph(SIZE, 6))
    assert camera == Intrinsics(510, 500, 100, 170, str(path))
