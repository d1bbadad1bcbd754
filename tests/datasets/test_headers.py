import cv2
import numpy as np
import pytest
from PIL import Image

from tr2m_plugin.datasets import RGBDFolder
from tr2m_plugin.datasets.headers import ORIENTATION, check_dimensions, read_header, turn, turn_with
from tr2m_plugin.datasets.readers import load_depth, load_picture
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import IndexRow

WHOLE = {"image": "*_rgb.png", "depth": "*_depth.png", "depth_scale": 0.1, "unit": "m", "depth_range": [0.3, 30]}


def save(path, pixels, orientation=None, **options):
    exif = Image.Exif()
    if orientation is not None:
        exif[ORIENTATION] = orientation
    Image.fromarray(pixels).save(path, exif=exif, **options)


def scene(height=12, width=16):
    """A picture and its depth, which is its red channel as metres / 10: no two pixels are alike."""
    red = np.arange(height * width, dtype=np.uint8).reshape(height, width) + 1
    return np.dstack([red, red // 2, 255 - red]), red.astype(np.uint16)


def pair(root, shape=(12, 16), turned=None, own=None, upright=False):
    """What is read of a pair, and how far depth is from the picture that it belongs to, as AbsRel."""
    picture, depth = scene(*shape)
    save(root / "a_rgb.png", picture, turned)
    save(root / "a_depth.png", turn(depth, turned) if upright else depth, own)
    (row,) = RGBDFolder(str(root), **WHOLE).index()
    image, found = load_picture(row), load_depth(row)
    assert image.shape[:2] == found.shape
    return image, float(np.abs(image[..., 0] / 10 / found - 1).mean())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_depth_is_turned_with_its_picture(tmp_path, orientation):
    picture, _ = scene()
    image, error = pair(tmp_path, turned=orientation)
    np.testing.assert_array_equal(image, turn(picture, orientation))
    assert error < 1e-6
    assert pair(tmp_path, (12, 12), turned=orientation)[1] < 1e-6, "also where the shape says nothing"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_depth_with_an_orientation_of_its_own_is_turned_by_that(tmp_path, orientation):
    assert pair(tmp_path, turned=orientation, own=orientation)[1] < 1e-6
    assert pair(tmp_path, turned=orientation, own=1, upright=True)[1] < 1e-6


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_depth_in_the_shape_of_the_upright_picture_stays(tmp_path, orientation):
    assert pair(tmp_path, turned=orientation, upright=True)[1] < 1e-6


@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_formats_are_turned_alike_and_as_opencv_does(tmp_path, orientation):
    picture, _ = scene()
    for suffix in ("png", "tiff", "webp", "jpg"):
        path = tmp_path / f"a.{suffix}"
        save(path, picture, orientation, **({"lossless": True} if suffix == "webp" else {}))
        expected = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        row = IndexRow(dataset="d", sample_id="a", split="test", image=str(path))
        np.testing.assert_array_equal(load_picture(row), expected)
        assert read_header(path).upright == expected.shape[:2]
        assert read_header(path).size == (12, 16)


def test_depth_that_is_no_file_stays_without_a_picture_that_is_turned(tmp_path):
    _, depth = scene()
    np.save(tmp_path / "a.npy", depth)
    save(tmp_path / "a.png", scene()[0], 3)
    header = read_header(tmp_path / "a.png")
    np.testing.assert_array_equal(turn_with(header, depth, tmp_path / "a.npy"), depth[::-1, ::-1])
    np.testing.assert_array_equal(turn_with(header, depth, "shard.safetensors#a"), depth[::-1, ::-1])
    assert turn_with(None, depth, tmp_path / "a.npy") is depth


def test_broken_exif_data_say_nothing(tmp_path):
    Image.fromarray(scene()[0]).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    assert read_header(tmp_path / "a.jpg").orientation is None


def test_the_limits_are_120_million_pixels_and_50_to_1(monkeypatch):
    check_dimensions(12000, 10000, "a.jpg")
    check_dimensions(1, 50, "a.jpg")
    with pytest.raises(InputError, match=r"a.jpg has 12001 × 10000 pixels, more than 120,000,000: make it smaller"):
        check_dimensions(10000, 12001, "a.jpg")
    with pytest.raises(InputError, match=r"a.jpg has 20 × 2000 pixels: a side is more than 50 times the other"):
        check_dimensions(2000, 20, "a.jpg")
    monkeypatch.setenv("TR2M_MAX_PIXELS", "400000000")
    check_dimensions(20000, 20000, "a.jpg")
    monkeypatch.setenv("TR2M_MAX_PIXELS", "1e9")
    with pytest.raises(InputError, match=r"TR2M_MAX_PIXELS must be a whole number above 0, not '1e9'"):
        check_dimensions(2, 2, "a.jpg")
