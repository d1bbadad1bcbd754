import cv2
import numpy as np
import pytest
from scipy.io import savemat

from tests.support import tree_ibims
from tr2m_plugin.datasets.readers import load_depth, load_picture
from tr2m_plugin.datasets.readers.ibims import IBims1
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import IndexRow


@pytest.mark.parametrize("below", ["ibims1_core_raw", ""])
def test_the_raw_archive(tmp_path, below):
    stored = tree_ibims.make(tmp_path, below=below)
    rows = IBims1(str(tmp_path)).index()
    assert [(row.sample_id, row.split) for row in rows] == [("corridor_01", "test"), ("corridor_02", "test")]
    assert all(isinstance(row, IndexRow) for row in rows)
    assert tuple(getattr(rows[0], key) for key in ("fx", "fy", "cx", "cy")) == tree_ibims.CAMERA
    for row in rows:
        depth = load_depth(row)
        assert depth.dtype == np.float32
        np.testing.assert_allclose(depth, stored[row.sample_id] * 50.0 / 65535, rtol=1e-6)
        assert not depth[tree_ibims.UNUSABLE].any()
        assert not depth[tree_ibims.TRANSPARENT].any()
        assert load_picture(row).shape == (480, 640, 3)


@pytest.mark.parametrize("below", ["ibims1_core_mat", ""])
def test_the_archive_of_matlab_files(tmp_path, below):
    metres = tree_ibims.make_mat(tmp_path, below=below)
    rows = IBims1(str(tmp_path)).index()
    assert [row.sample_id for row in rows] == list(metres)
    assert tuple(getattr(rows[0], key) for key in ("fx", "fy", "cx", "cy")) == tree_ibims.CAMERA, "calib is transposed"
    for number, row in enumerate(rows, 1):
        depth = load_depth(row)
        assert depth.dtype == np.float32
        np.testing.assert_allclose(depth, metres[row.sample_id], rtol=1e-6)
        np.testing.assert_array_equal(load_picture(row), tree_ibims.scene(number)[0])


def test_depth_without_its_masks(tmp_path):
    tree_ibims.make(tmp_path / "raw", test=1)
    tree_ibims.make_mat(tmp_path / "mat", test=1)
    for name in ("raw", "mat"):
        (row,) = IBims1(str(tmp_path / name), mask=False).index()
        assert (load_depth(row)[5:] > 0).all()


@pytest.mark.parametrize("listed", ["imagelist.txt", "ibims1_core_raw/imagelist.txt", None])
def test_names_are_listed_or_all_that_are_there(tmp_path, listed):
    tree_ibims.make(tmp_path, listed=listed)
    assert len(IBims1(str(tmp_path)).index()) == 2
    if listed:
        (tmp_path / listed).write_text("corridor_02\r\n\r\n")
        assert [row.sample_id for row in IBims1(str(tmp_path)).index()] == ["corridor_02"]


def test_a_half_unpacked_archive_names_the_first_file_and_the_number(tmp_path):
    tree_ibims.make(tmp_path)
    raw = tmp_path / "ibims1_core_raw"
    (raw / "calib/corridor_01.txt").unlink()
    assert IBims1(str(tmp_path)).index()[0].fx is None
    (raw / "mask_transp/corridor_01.png").unlink()
    (raw / "mask_transp/corridor_02.png").unlink()
    with pytest.raises(InputError, match=r"mask_transp/corridor_01.png does not exist; 2 files .*test 2.*`mask=False`"):
        IBims1(str(tmp_path)).index()
    assert len(IBims1(str(tmp_path), mask=False).index()) == 2
    (raw / "depth/corridor_02.png").unlink()
    with pytest.raises(InputError, match=r"mask_transp/corridor_01.png does not exist; 3 files .*test 2"):
        IBims1(str(tmp_path)).index()
    (tmp_path / "imagelist.txt").write_text("corridor_01\ncorridor_09")
    with pytest.raises(InputError, match=r"mask_transp/corridor_01.png does not exist; 5 files"):
        IBims1(str(tmp_path)).index()


def test_a_listed_matlab_file_that_is_missing(tmp_path):
    tree_ibims.make_mat(tmp_path, test=1)
    (tmp_path / "imagelist.txt").write_text("corridor_01\ncorridor_09\n")
    with pytest.raises(InputError, match=r"corridor_09.mat does not exist; 1 files .*test 2"):
        IBims1(str(tmp_path)).index()


def test_errors_name_file_expectation_and_finding(tmp_path):
    with pytest.raises(
        InputError, match=r"has neither rgb/ nor .mat files, nor has ibims1_core_raw or ibims1_core_mat"
    ):
        IBims1(str(tmp_path)).index()
    tree_ibims.make(tmp_path, test=1)
    (row,) = IBims1(str(tmp_path)).index()
    cv2.imwrite(row.depth.replace("depth", "mask_transp"), np.ones((240, 320), np.uint8))
    with pytest.raises(InputError, match=r"mask_transp of .*/corridor_01.png should be 480 × 640, .* and is 240 × 320"):
        load_depth(row)
    cv2.imwrite(row.depth, np.zeros((480, 640), np.uint8))
    with pytest.raises(InputError, match=r"corridor_01.png should be 480 × 640 uint16 and is 480 × 640 uint8"):
        load_depth(row)
    (tmp_path / "ibims1_core_raw/calib/corridor_01.txt").write_text("559.2 559.4 312.6 241.7")
    with pytest.raises(InputError, match=r"calib/corridor_01.txt is not fx,fy,cx,cy"):
        IBims1(str(tmp_path)).index()


def test_errors_of_matlab_files(tmp_path):
    tree_ibims.make_mat(tmp_path, test=1)
    (row,) = IBims1(str(tmp_path)).index()
    file = tmp_path / "ibims1_core_mat/corridor_01.mat"
    whole = {"depth": np.full((480, 640), 0.5), "mask_invalid": np.ones((480, 640)), "mask_transp": np.ones((480, 640))}
    savemat(file, {"data": {**whole, "depth": np.ones((480, 640), np.uint16)}})
    with pytest.raises(
        InputError, match=r"corridor_01.mat#depth should be 480 × 640 float64 or float32 and is 480 × 640 uint16"
    ):
        load_depth(row)
    savemat(file, {"data": {**whole, "mask_invalid": np.ones((2, 3))}})
    with pytest.raises(InputError, match=r"mask_invalid of .*corridor_01.mat#depth should be 480 × 640.* and is 2 × 3"):
        load_depth(row)
    with pytest.raises(InputError, match=r"corridor_01.mat: data has no field rgb, only depth, mask_invalid"):
        load_picture(row)
    savemat(file, {"data": np.ones((2, 2))})
    with pytest.raises(InputError, match=r"corridor_01.mat: data has no field depth"):
        load_depth(row)
    savemat(file, {"other": 1})
    with pytest.raises(InputError, match=r"corridor_01.mat has no variable data, only other"):
        load_depth(row)
    file.write_bytes(b"no matlab file")
    with pytest.raises(InputError, match=r"corridor_01.mat is not a readable MATLAB 5 file"):
        IBims1(str(tmp_path)).index()
