import cv2
import numpy as np
import pytest
from scipy.io import savemat

from tests.support import tree_sun_rgbd
from tr2m_plugin.datasets.readers import load_depth, load_picture
from tr2m_plugin.datasets.readers.sun_rgbd import SUNRGBD
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import IndexRow


def bit_by_bit(stored):
    """Rotates the 16 bits of every number right by three, slowly."""
    bits = [f"{int(number):016b}" for number in stored.ravel()]
    return np.array([int(text[-3:] + text[:-3], 2) for text in bits]).reshape(stored.shape)


def test_the_publishers_folders_and_list(tmp_path):
    stored = tree_sun_rgbd.make(tmp_path)
    rows = SUNRGBD(str(tmp_path)).index()
    assert [row.sample_id for row in rows] == list(stored)
    assert rows[1].sample_id == "SUNRGBD/kv2/kinect2data/train0001/image/0000001", "listed with a slash at the end"
    assert [row.split for row in rows] == ["train", "train", "test", "test"]
    assert all(isinstance(row, IndexRow) for row in rows)
    assert [getattr(rows[0], key) for key in ("fx", "fy", "cx", "cy", "unit")] == [529.5, 529.5, 365, 265, "m"]
    for row in rows:
        depth = load_depth(row)
        assert depth.dtype == np.float32
        np.testing.assert_allclose(depth, stored[row.sample_id] / 10000, rtol=1e-6)
        assert load_picture(row).shape[:2] == depth.shape
    assert load_depth(rows[0]).shape != load_depth(rows[1]).shape


def test_the_test_pictures_paired_by_number(tmp_path):
    names = ("img-000001", "img-000002", "img-000010")
    stored = tree_sun_rgbd.make_test(tmp_path, test=10)
    for number in (3, 4, 5, 6, 7, 8, 9):
        (tmp_path / f"rgb/img-{number:06d}.jpg").unlink()
        (tmp_path / f"depth/{number}.png").unlink()
    rows = SUNRGBD(str(tmp_path)).index()
    assert [(row.sample_id, row.split) for row in rows] == [(name, "test") for name in names]
    for row in rows:
        np.testing.assert_allclose(load_depth(row), stored[row.sample_id] / 10000, rtol=1e-6)


@pytest.mark.parametrize("depths", ["sunrgb_test_depth", "sunrgb_test_depth/sunrgbd_test_depth"])
def test_the_names_of_the_archives(tmp_path, depths):
    folders = ("SUNRGBD-test_images", depths)
    stored = tree_sun_rgbd.make_test(tmp_path, 1, folders, "img-{}.jpg", "{:06d}.png")
    (tmp_path / depths / "._000001.png").write_bytes(b"")
    (row,) = SUNRGBD(str(tmp_path)).index()
    np.testing.assert_allclose(load_depth(row), stored["img-1"] / 10000, rtol=1e-6)


def test_three_encodings(tmp_path):
    stored = tree_sun_rgbd.make_test(tmp_path, test=1)["img-000001"]
    stored[0, :3] = 64000, 65535, 65528  # 8 m, 65.535 m, 8.191 m
    cv2.imwrite(str(tmp_path / "depth/1.png"), stored)
    true = bit_by_bit(stored) / 1000
    assert true[0, :3].tolist() == [8, 65.535, 8.191]
    for encoding, metres in (("10000", stored / 10000), ("8000", stored / 8000), ("rotated", true)):
        (row,) = SUNRGBD(str(tmp_path), encoding=encoding).index()
        np.testing.assert_allclose(load_depth(row), np.where(metres > 8, 0, metres), rtol=1e-6)
    near = true < 8
    np.testing.assert_allclose(true[near], stored[near] / 8000, rtol=1e-6)
    with pytest.raises(InputError, match="encoding must be one of 10000, 8000, rotated, not '1000'"):
        SUNRGBD(str(tmp_path), encoding="1000")


def test_depth_with_its_holes(tmp_path):
    tree_sun_rgbd.make(tmp_path, train=1, test=0)
    (filled,) = SUNRGBD(str(tmp_path), encoding="rotated").index()
    (holed,) = SUNRGBD(str(tmp_path), encoding="rotated", filled=False).index()
    assert (load_depth(filled)[10:20, 30:40] == 1).all()
    assert not load_depth(holed)[10:20, 30:40].any()


def test_where_the_list_may_be(tmp_path):
    tree_sun_rgbd.make(tmp_path, train=1, test=1, where="elsewhere")
    with pytest.raises(InputError, match=r"is no layout of SUN RGB-D: looked for allsplit.mat, .*rgb"):
        SUNRGBD(str(tmp_path)).index()
    assert len(SUNRGBD(str(tmp_path), split_file="elsewhere/allsplit.mat").index()) == 2
    (tmp_path / "elsewhere/allsplit.mat").rename(tmp_path / "allsplit.mat")
    assert {row.split for row in SUNRGBD(str(tmp_path), splits=["test"]).index()} == {"test"}


def test_a_half_unpacked_archive_names_the_first_file_and_the_number(tmp_path):
    tree_sun_rgbd.make(tmp_path / "a")
    (tmp_path / "a/SUNRGBD/kv1").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"train0000 does not exist; 2 files .*train 2, test 2"):
        SUNRGBD(str(tmp_path / "a")).index()
    scene = (tmp_path / "elsewhere").rename(tmp_path / "a/SUNRGBD/kv1") / "NYUdata/train0000"
    (scene / "depth_bfx").rename(scene / "elsewhere")
    with pytest.raises(InputError, match=r"train0000/depth_bfx does not exist; 1 files"):
        SUNRGBD(str(tmp_path / "a")).index()
    (scene / "elsewhere").rename(scene / "depth_bfx")
    next((scene / "image").iterdir()).unlink()
    with pytest.raises(InputError, match=r"train0000/image/\*.jpg does not exist; 1 files"):
        SUNRGBD(str(tmp_path / "a")).index()
    tree_sun_rgbd.make_test(tmp_path / "b", test=3)
    (tmp_path / "b/depth/1.png").unlink()
    (tmp_path / "b/rgb/img-000003.jpg").unlink()
    with pytest.raises(InputError, match=r"depth/1.png does not exist; 2 files .*test 3"):
        SUNRGBD(str(tmp_path / "b")).index()
    (tmp_path / "b/depth").rename(tmp_path / "b/depths")
    with pytest.raises(InputError, match="has no folder of depth: looked for depth, sunrgb_test_depth"):
        SUNRGBD(str(tmp_path / "b")).index()


def test_errors_name_file_expectation_and_finding(tmp_path):
    tree_sun_rgbd.make(tmp_path, train=0, test=1, where="")
    (row,) = SUNRGBD(str(tmp_path)).index()
    cv2.imwrite(row.depth, np.zeros((427, 561), np.uint8))
    with pytest.raises(InputError, match=r"_abs.png should be uint16 and is 427 × 561 uint8"):
        load_depth(row)
    scene = tmp_path / "SUNRGBD/kv1/NYUdata/test0000"
    (scene / "intrinsics.txt").write_text("529.5 0 365")
    with pytest.raises(InputError, match=r"intrinsics.txt is not a matrix of 3 × 3 numbers"):
        SUNRGBD(str(tmp_path)).index()
    (scene / "intrinsics.txt").unlink()
    assert SUNRGBD(str(tmp_path)).index()[0].fx is None
    (scene / "image/other.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"test0000/image holds 2 files \*.jpg, not one"):
        SUNRGBD(str(tmp_path)).index()
    savemat(tmp_path / "allsplit.mat", {"alltest": np.array([["/data/kv1/1", ""]], dtype=object)})
    with pytest.raises(InputError, match=r"allsplit.mat: '/data/kv1/1' of alltest is no path with SUNRGBD/"):
        SUNRGBD(str(tmp_path), splits=["test"]).index()
    with pytest.raises(InputError, match=r"allsplit.mat has no variable alltrain, only alltest"):
        SUNRGBD(str(tmp_path)).index()
