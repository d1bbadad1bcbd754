import cv2
import numpy as np
import pytest

from tr2m_plugin.datasets.arrays import find_arrays, read_array, read_depth, read_image, stretch_image, write_shard
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
        image = read_image(str(tmp_path / name))
        assert image.shape == (4, 5, 3)
        assert image.dtype == np.uint8
        assert image[0, 0, 2] == 200, name
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


def test_stretching():
    image = np.zeros((8, 8, 3), np.uint8)
    image[::2] = 200
    assert (stretch_image(image, (4, 4)) == 100).all()  # averaged, no row is lost
    assert stretch_image(image, (16, 24)).shape == (16, 24, 3)
    assert stretch_image(image, (8, 8)) is image
