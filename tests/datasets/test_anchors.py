import json

import cv2
import numpy as np
import pytest
from PIL import Image

from tr2m_plugin.datasets.anchors import check_points, find_anchors, points_of_map, read_anchors
from tr2m_plugin.errors import InputError

SIZE = (30, 40)


def test_points_come_from_a_csv(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("\ufeffname, Depth ,v,u\n\na,2.5,3,-0.5\n b , 1e1 , 29.4 ,39\n\n", encoding="utf-8")
    np.testing.assert_array_equal(read_anchors(path, SIZE), [[-0.5, 3, 2.5], [39, 29.4, 10]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the first line must name the columns u, v and depth once each"),
        ("1,2,3\n", "the first line must name the columns"),
        ("u,v,u,depth\n", "once each"),
        ("u,v,depth\n", "holds no point"),
        ("u,v,depth\n1,2,3\n\n4,x,6\n", "line 4: u, v and depth must be numbers, not '4,x,6'"),
        ("u,v,depth\n1,2\n", "line 2: u, v and depth must be numbers, not '1,2'"),
        ("u,v,depth\n1,2,3\n39.5,2,3\n", "line 3: the point 39.5, 2 lies outside the picture of 40 × 30"),
        ("u,v,depth\n1,-0.6,3\n", "line 2: the point 1, -0.6 lies outside"),
        ("u,v,depth\n1,nan,3\n", "line 2: the point 1, nan lies outside"),
        ("u,v,depth\n1,2,nan\n", "line 2: depth must be a number above 0, not nan"),
        ("u,v,depth\n1,2,inf\n", "line 2: depth must be a number above 0, not inf"),
        ("u,v,depth\n1,2,-3\n", "line 2: depth must be a number above 0, not -3"),
        ("u,v,depth\n1,2,0\n", "line 2: depth must be a number above 0, not 0"),
        ("u,v,depth\n" + "1" * 200_000, "is no CSV file"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path, text, message):
    path = tmp_path / "points.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_anchors(path, SIZE)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_depth_map_gives_its_pixels(tmp_path):
    depth = np.zeros(SIZE, np.uint16)
    depth[3, 7], depth[29, 0] = 1500, 800
    path = tmp_path / "a_depth.png"
    cv2.imwrite(str(path), depth)
    np.testing.assert_allclose(read_anchors(path, SIZE, 0.001), [[7, 3, 1.5], [0, 29, 0.8]], rtol=1e-6)
    with pytest.raises(InputError, match=r"a_depth.png has whole numbers: give the factor to the unit as --png-scale"):
        read_anchors(path, SIZE)
    np.save(tmp_path / "a.npy", np.where(depth, depth / 1000, np.nan))
    np.testing.assert_allclose(read_anchors(tmp_path / "a.npy", SIZE), [[7, 3, 1.5], [0, 29, 0.8]], rtol=1e-6)


def test_a_depth_map_of_another_size_is_stretched():
    """Pixels' edges meet: the first of 20 columns lies over the first two of 40."""
    depth = np.zeros((15, 20))
    depth[0, 0], depth[14, 19] = 1, 2
    np.testing.assert_allclose(points_of_map(depth, SIZE, "it"), [[0.5, 0.5, 1], [38.5, 28.5, 2]])
    with pytest.raises(InputError, match="it is 15 × 30 and its picture 30 × 40: their shapes must agree"):
        points_of_map(np.ones((15, 30)), SIZE, "it")
    with pytest.raises(InputError, match="it holds no depth"):
        points_of_map(np.zeros(SIZE), SIZE, "it")


def test_a_depth_map_is_turned_with_its_picture(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = tmp_path / "a.jpg"
    Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(picture, exif=exif)
    depth = np.zeros(SIZE, np.uint16)
    depth[3, 7] = 1500
    cv2.imwrite(str(tmp_path / "a_depth.png"), depth)
    (point,) = read_anchors(tmp_path / "a_depth.png", SIZE[::-1], 0.001, str(picture))
    assert point.tolist() == pytest.approx([30 - 1 - 3, 7, 1.5])


def test_a_pictures_anchors_are_found_by_its_name(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("a.csv", "sub/b_depth.npy", "c_rgb.csv", "c.csv", "d_depth.png", "e_depth.png", "e.csv"):
        (tmp_path / name).touch()
    (tmp_path / "d.json").write_text(json.dumps({"format": "tr2m prediction"}))
    found = {
        name: find_anchors(tmp_path, name) for name in ("a", "a_rgb", "b", "sub/b_color", "c_rgb", "d_rgb", "e_rgb")
    }
    assert {name: path and path.relative_to(tmp_path).as_posix() for name, path in found.items()} == {
        "a": "a.csv",
        "a_rgb": "a.csv",
        "b": None,
        "sub/b_color": "sub/b_depth.npy",
        "c_rgb": "c_rgb.csv",
        "d_rgb": None,  # tr2m predict wrote it
        "e_rgb": "e.csv",
    }


def test_points_of_an_array_are_named():
    with pytest.raises(InputError, match="second: the point 50, 2 lies outside"):
        check_points(np.array([[1, 2, 3], [50, 2, 3]]), SIZE, ["first", "second"])
