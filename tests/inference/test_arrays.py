import numpy as np
import pytest
import torch
from PIL import Image

from tr2m_plugin.errors import InputError
from tr2m_plugin.inference.arrays import free_number, name_arrays, to_pictures, to_texts

GREY = np.zeros((2, 3, 3), np.uint8)


def test_pictures_of_pils_are_upright_rgb():
    pixels = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    picture = Image.fromarray(pixels)
    np.testing.assert_array_equal(to_pictures(picture), pixels)
    picture.getexif()[274] = 6  # turned by a quarter
    np.testing.assert_array_equal(to_pictures([picture, "a.png"])[0], np.rot90(pixels, -1))
    np.testing.assert_array_equal(to_pictures(Image.fromarray(pixels[..., 0])), pixels[..., :1].repeat(3, 2))
    with pytest.raises(InputError, match="in the mode I;16 is not 8-bit"):
        to_pictures(Image.fromarray(np.zeros((2, 2), np.uint16)))


def test_other_kinds_are_named():
    for other, name in ((torch.zeros(3, 4, 4), "Tensor"), (None, "NoneType"), (7, "int")):
        with pytest.raises(InputError, match=rf"\(H, W, 3\) uint8 RGB array or a picture of PIL's, not a {name}"):
            to_pictures([other])


def test_names():
    named = [("0", GREY), ("b", "b.png")]
    assert [name for name, _ in name_arrays(named)] == ["0", "b"]
    assert [name for name, _ in name_arrays(named, first=4)] == ["4", "b"]
    assert [name for name, _ in name_arrays(named, ["x/y", "z"])] == ["x/y", "z"]
    for names, message in (
        (["a"], "one for each of 2"),
        ("ab", "one for each of 2"),
        (["a", "a"], "one name"),
        (["a", "../b"], "not '../b'"),
        (["a", "/b"], "not '/b'"),
        (["a", None], "not None"),
    ):
        with pytest.raises(InputError, match=message):
            name_arrays(named, names)


def test_numbers_go_on(tmp_path):
    assert free_number(tmp_path / "none") == free_number(tmp_path) == 0
    for name in ("3.json", "12.json", "a.json", "40.npy"):
        (tmp_path / name).touch()
    assert free_number(tmp_path) == 13


def test_no_two_pictures_share_their_files():
    named = [("0", GREY), ("5", "5.png"), ("2", GREY)]
    assert [name for name, _ in name_arrays(named, first=5)] == ["5_2", "5", "7"]
    for names in (["a", "./a"], ["a", "a/"], ["a/b", "a//b"]):
        with pytest.raises(InputError, match="two pictures have one name"):
            name_arrays(named[:2], names)
    assert [name for name, _ in name_arrays(named[:2], ["./a", "b/"])] == ["a", "b"]
    for wrong in (".", "./", "a\0b", "a\nb", "a\udcffb"):
        with pytest.raises(InputError, match="a name is a path below the folder"):
            name_arrays(named[:1], [wrong])


def test_texts_are_a_sentence_or_one_for_each():
    assert to_texts(None, 2) is None
    assert to_texts("a", 2) == "a"
    assert to_texts((text for text in "ab"), 2) == to_texts(np.array(["a", "b"]), 2) == ["a", "b"]
    for wrong, message in (
        (5, "not a int"),
        (b"a", "not a bytes"),
        ({"a": "b"}, "not a dict"),
        (["a"], "1 texts for 2"),
    ):
        with pytest.raises(InputError, match=message):
            to_texts(wrong, 2)
