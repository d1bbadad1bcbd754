import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tr2m_plugin.datasets.arrays import find_arrays, read_array, read_depth, read_image, read_stored, write_shard
from tr2m_plugin.errors import InputError


def test_arrays_come_back_from_shards_by_name(tmp_path):
    a, b = np.arange(6, dtype=np.float16).reshape(2, 3), np.ones((4, 4, 3), np.uint8)
    write_shard(tmp_path / "0.safetensors", {"rooms/1": a, "rooms/2": b})
    references = find_arrays(tmp_path)
    assert set(references) == {"rooms/1", "rooms/2"}
    np.testing.assert_array_equal(read_array(references["rooms/1"]), a)
    np.testing.assert_array_equal(read_image(references["rooms/2"]), b)
    assert [p.name for p in tmp_path.iterdir()] == ["0.safetensors"]
    with pytest.raises(InputError, match="holds no array 'rooms/3'"):
        read_array(f"{tmp_path}/0.safetensors#rooms/3")
    with pytest.raises(InputError, match="does not exist"):
        read_array(f"{tmp_path}/1.safetensors#rooms/3")
    (tmp_path / "2.safetensors").write_text("?")
    with pytest.raises(InputError, match=r"2.safetensors is not a readable safetensors file"):
        read_array(f"{tmp_path}/2.safetensors#rooms/3")


def test_a_rewritten_shard_is_read_anew(tmp_path):
    path = tmp_path / "0.safetensors"
    write_shard(path, {"x": np.zeros(2, np.float32)})
    assert read_array(f"{path}#x").sum() == 0
    write_shard(path, {"x": np.ones(2, np.float32)})
    assert read_array(f"{path}#x").sum() == 2


def test_pictures_of_every_kind_become_rgb(tmp_path):
    color = np.zeros((4, 5, 3), np.uint8)
    color[..., 0] = 200  # blue in OpenCV's order
    for name, pixels in {
        "color.png": color,
        "grey.png": color[..., 0],
        "deep.png": color[..., 0].astype(np.uint16) * 257,
        "alpha.png": np.dstack([color, np.full((4, 5), 128, np.uint8)]),
    }.items():
        cv2.imwrite(str(tmp_path / name), pixels)
        image = read_image(str(tmp_path / name), one_channel=True)
        assert image.shape == (4, 5, 3)
        assert image.dtype == np.uint8
        assert image[0, 0, 2] == (227 if name == "alpha.png" else 200), name  # on white
    assert read_image(str(tmp_path / "alpha.png"), raw=True)[0, 0].tolist() == [0, 0, 200]
    assert read_image(str(tmp_path / "color.png"))[0, 0].tolist() == [0, 0, 200]


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\xff\xd8\xff\xe0 cut off"])
def test_what_is_no_picture_is_named(tmp_path, content):
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    for read in (read_image, read_depth):
        with pytest.raises(InputError, match=r"x.jpg is not a"):
            read(str(path))


def test_missing_files_are_named(tmp_path):
    for read in (read_image, read_depth):
        with pytest.raises(InputError, match=r"nothing.png does not exist"):
            read(str(tmp_path / "nothing.png"))


def test_depth_is_scaled_and_what_is_no_measurement_becomes_zero(tmp_path):
    cv2.imwrite(str(tmp_path / "d.png"), np.array([[0, 1500], [65535, 2]], np.uint16))
    np.testing.assert_allclose(read_depth(str(tmp_path / "d.png"), 0.001), [[0, 1.5], [65.535, 0.002]], rtol=1e-6)
    np.save(tmp_path / "d.npy", np.array([[[np.nan], [np.inf]], [[-1.0], [2.0]]]))
    np.testing.assert_array_equal(read_depth(str(tmp_path / "d.npy")), [[0, 0], [0, 2]])
    cv2.imwrite(str(tmp_path / "d.tiff"), np.array([[1.25, 3.5]], np.float32))
    np.testing.assert_array_equal(read_depth(str(tmp_path / "d.tiff")), [[1.25, 3.5]])


def test_depth_with_colours_or_code_is_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "rgb.png"), np.ones((3, 3, 3), np.uint8))
    with pytest.raises(InputError, match="one channel"):
        read_depth(str(tmp_path / "rgb.png"))
    np.save(tmp_path / "code.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"code.npy is not an array of numbers"):
        read_depth(str(tmp_path / "code.npy"))


def jpeg(size=(64, 48), **options):
    """Bytes of a JPEG of noise."""
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (*size[::-1], 3), np.uint8)
    Image.fromarray(pixels).save(file, "JPEG", **options)
    return file.getvalue()


def with_thumbnail(content):
    """A JPEG with another in its second segment, as cameras write it."""
    thumbnail = b"Exif\0\0" + jpeg((16, 12))
    return content[:2] + b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail + content[2:]


@pytest.mark.parametrize("kind", ["plain", "progressive", "with a thumbnail"])
def test_a_jpeg_that_is_cut_off_is_refused(tmp_path, monkeypatch, kind):
    content = with_thumbnail(jpeg()) if kind == "with a thumbnail" else jpeg(progressive=kind == "progressive")
    path = tmp_path / "x.jpg"
    for trailer in (b"", b"a film \xff\xda after the picture"):
        path.write_bytes(content + trailer)
        assert read_image(str(path)).shape == (48, 64, 3)
    # some versions of OpenCV decode the beginning
    monkeypatch.setattr(cv2, "imdecode", lambda *_: np.zeros((48, 64, 3), np.uint8))
    for length in (len(content) - 2, len(content) * 2 // 3):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match=r"x.jpg is cut off: "):
            read_image(str(path))


def test_pictures_are_turned_as_their_camera_says(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    (tmp_path / "x.jpg").write_bytes(jpeg(exif=exif))
    assert read_image(str(tmp_path / "x.jpg")).shape == (64, 48, 3)


def refuse(self, *args, **options):
    raise PermissionError(13, "Permission denied", str(self))


def test_files_without_rights_are_named(tmp_path, monkeypatch):
    (tmp_path / "x.png").write_bytes(b"x")
    np.save(tmp_path / "x.npy", np.ones((2, 2)))
    monkeypatch.setattr(Path, "read_bytes", refuse)
    monkeypatch.setattr(np, "load", refuse)
    for read, name in ((read_image, "x.png"), (read_depth, "x.png"), (read_depth, "x.npy")):
        with pytest.raises(InputError, match=rf"{name} cannot be read: Permission denied"):
            read(str(tmp_path / name))
    monkeypatch.undo()
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_image(str(tmp_path))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((2, 2), complex), "is an array of complex128; a depth map has real numbers"),
        (np.ones((2, 2), bool), "is an array of bool; "),
        (np.full((2, 2), "1.5"), "is an array of <U3; "),
        (np.zeros((2, 2), [("depth", "f4")]), "is an array of .*depth.*; a depth map"),
        (np.zeros((2, 2), "M8[s]"), "is an array of datetime64"),
        (np.zeros((0, 5)), r"has the shape \(0, 5\), no pixel"),
    ],
)
def test_arrays_of_anything_but_real_numbers_are_refused(tmp_path, array, message):
    np.save(tmp_path / "d.npy", array)
    with pytest.raises(InputError, match=rf"d.npy {message}"):
        read_stored(str(tmp_path / "d.npy"))


def test_an_archive_named_as_an_array_is_refused(tmp_path):
    path = tmp_path / "d.npy"
    with path.open("wb") as file:
        np.savez(file, depth=np.ones((2, 2)))
    with pytest.raises(InputError, match=r"d.npy is an archive of arrays \(.npz\)"):
        read_stored(str(path))
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(InputError, match=r"d.npy is not an array of numbers"):
        read_stored(str(path))
