from dataclasses import replace

import cv2
import h5py
import numpy as np
import pytest
from scipy.io import savemat

from tests.support import tree_nyu
from tr2m_plugin.datasets.readers import load_depth, load_picture
from tr2m_plugin.datasets.readers.nyu import NYUv2
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import IndexRow


def test_lists_with_leading_slashes_and_without_a_final_newline(tmp_path):
    stored = tree_nyu.make(tmp_path)
    rows = NYUv2(str(tmp_path)).index()
    assert [(r.sample_id, r.split) for r in rows] == [
        ("kitchen_0028b/rgb_00000", "train"),
        ("kitchen_0028b/rgb_00001", "train"),
        ("bathroom/rgb_00000", "test"),
        ("bathroom/rgb_00001", "test"),
    ]
    assert all(isinstance(row, IndexRow) for row in rows)
    assert (rows[0].fx, rows[0].unit, rows[0].domain) == (518.8579, "m", "indoor")
    for row in rows:
        depth = load_depth(row)
        assert depth.dtype == np.float32
        np.testing.assert_allclose(depth, stored[row.sample_id] / 1000, rtol=1e-6)
        assert load_picture(row).shape == (480, 640, 3)


def test_ten_metres_are_ten_metres(tmp_path):
    tree_nyu.make(tmp_path, train=0, test=1)
    file = tmp_path / "official_splits/test/bathroom/sync_depth_00000.png"
    cv2.imwrite(str(file), np.full((480, 640), 10000, np.uint16))
    (row,) = NYUv2(str(tmp_path), splits=["test"]).index()
    assert (load_depth(row) == 10).all(), "the farthest depth of the protocol, which it excludes"


def test_the_publishers_mat_files(tmp_path):
    pictures, metres = tree_nyu.make_mat(tmp_path)
    rows = NYUv2(str(tmp_path)).index()
    assert [r.sample_id for r in rows] == ["kitchen/rgb_00000", "kitchen/rgb_00002"], "1-based in splits.mat"
    for row, number in zip(rows, (0, 2), strict=True):
        picture = load_picture(row)
        np.testing.assert_array_equal(picture[7:474, 7:632], pictures[number, 7:474, 7:632])
        assert not picture[:7].any()
        assert not picture[:, 632:].any()
        np.testing.assert_allclose(load_depth(row), np.floor(metres[number] * 1000) / 1000, rtol=1e-6)


def test_only_what_is_there_or_asked_for(tmp_path):
    tree_nyu.make(tmp_path)
    assert {r.split for r in NYUv2(str(tmp_path), splits=["test"]).index()} == {"test"}
    (tmp_path / "nyudepthv2_train_files_with_gt.txt").unlink()
    assert {r.split for r in NYUv2(str(tmp_path)).index()} == {"test"}


def test_a_half_unpacked_archive_names_the_first_file_and_the_number(tmp_path):
    tree_nyu.make(tmp_path)
    (tmp_path / "sync/kitchen_0028b/rgb_00001.jpg").unlink()
    (tmp_path / "sync/kitchen_0028b/sync_depth_00001.png").unlink()
    with pytest.raises(InputError, match=r"rgb_00001.jpg does not exist; 2 files .*train 2, test 2.*`splits`"):
        NYUv2(str(tmp_path)).index()


def test_errors_name_file_expectation_and_finding(tmp_path):
    with pytest.raises(InputError, match="is not a folder: give the root of NYU Depth v2"):
        NYUv2(str(tmp_path / "no"))
    with pytest.raises(InputError, match=r"has none of nyudepthv2_train_files_with_gt.txt"):
        NYUv2(str(tmp_path)).index()
    with pytest.raises(InputError, match="has the splits train, test, not val"):
        NYUv2(str(tmp_path), splits=["val"])
    tree_nyu.make(tmp_path, train=0, test=1)
    (row,) = NYUv2(str(tmp_path), splits=["test"]).index()
    cv2.imwrite(row.depth, np.zeros((240, 320), np.uint16))
    with pytest.raises(InputError, match=r"sync_depth_00000.png should be 480 × 640 uint16 and is 240 × 320 uint16"):
        load_depth(row)
    cv2.imwrite(row.depth, np.zeros((480, 640), np.uint8))
    with pytest.raises(InputError, match="should be 480 × 640 uint16 and is 480 × 640 uint8"):
        load_depth(row)
    (tmp_path / "nyudepthv2_test_files_with_gt.txt").write_text("bathroom/rgb_00000.jpg\n")
    with pytest.raises(InputError, match=r"_test_files_with_gt.txt, line 1: .* has 1 fields, not 3"):
        NYUv2(str(tmp_path), splits=["test"]).index()
    (tmp_path / "nyudepthv2_test_files_with_gt.txt").write_text("a/rgb_00000.jpg a/sync_depth_00000.png dense.png\n")
    with pytest.raises(InputError, match=r"_files_with_gt.txt: 'dense.png' is no focal length; lines must be picture"):
        NYUv2(str(tmp_path), splits=["test"]).index()
    (tmp_path / "nyudepthv2_test_files_with_gt.txt").unlink()
    tree_nyu.make_mat(tmp_path)
    savemat(tmp_path / "splits.mat", {"testNdxs": [[1], [9]]})
    with pytest.raises(InputError, match=r"_labeled.mat has no sceneTypes of picture 9 of .*splits.mat"):
        NYUv2(str(tmp_path), splits=["test"]).index()
    (tmp_path / "splits.mat").write_bytes(b"no matlab file")
    with pytest.raises(InputError, match=r"splits.mat is not a readable MATLAB 5 file"):
        NYUv2(str(tmp_path), splits=["test"]).index()


@pytest.mark.parametrize("name", ["images", "rawDepths"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda whole: None, "has no variable {name}, only "),
        (lambda whole: whole[:2], "has 2 {name}, and splits.mat asks for picture 3: "),
        (lambda whole: whole.flat[0], "has 0 {name}, and splits.mat asks for picture "),
    ],
)
def test_a_labelled_file_without_a_variable_or_with_too_few_entries(tmp_path, name, change, message):
    (tmp_path / "whole").mkdir()
    tree_nyu.make_mat(tmp_path / "whole")
    row = NYUv2(str(tmp_path / "whole")).index()[-1]
    alter(tmp_path, name, change)
    message = rf"{tmp_path}/nyu_depth_v2_labeled.mat {message.format(name=name)}"
    with pytest.raises(InputError, match=message):
        NYUv2(str(tmp_path)).index()
    moved = {kind: getattr(row, kind).replace("/whole/", "/") for kind in ("image", "depth")}
    with pytest.raises(InputError, match=message):
        (load_picture if name == "images" else load_depth)(replace(row, **moved))


def test_entries_of_the_labelled_file_of_another_size(tmp_path):
    for name, load in (("images", load_picture), ("rawDepths", load_depth)):
        alter(tmp_path / name, name, lambda whole: whole[..., :9])
        row = NYUv2(str(tmp_path / name)).index()[0]
        with pytest.raises(InputError, match=r"nyu_depth_v2_labeled.mat#0 should be 480 × 640.* and is 9 × 640"):
            load(row)


def alter(root, name, change):
    """The publisher's files, with another variable in place of one, or none."""
    root.mkdir(exist_ok=True)
    tree_nyu.make_mat(root)
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "r+") as file:
        changed = change(file[name][()])
        del file[name]
        if changed is not None:
            file[name] = changed
