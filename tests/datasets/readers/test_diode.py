import numpy as np
import pytest

from tests.support import tree_diode
from tr2m_plugin.datasets.readers import load_depth, load_picture
from tr2m_plugin.datasets.readers.diode import DIODEOutdoor
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import IndexRow

TRAIN = ("train/outdoor/scene_00000/scan_00001/00000_00001_outdoor_000_000", "train")
TEST = [
    ("val/outdoor/scene_00022/scan_00193/00022_00193_outdoor_000_000", "test"),
    ("val/outdoor/scene_00022/scan_00193/00022_00193_outdoor_010_000", "test"),
]


def test_the_publishers_validation_set_is_the_test_split(tmp_path):
    stored = tree_diode.make(tmp_path)
    rows = DIODEOutdoor(str(tmp_path)).index()
    assert [(r.sample_id, r.split) for r in rows] == [TRAIN, *TEST], "and nothing indoors"
    assert all(isinstance(row, IndexRow) for row in rows)
    assert [getattr(rows[0], name) for name in ("fx", "fy", "cx", "cy")] == [886.81, 927.06, 512, 384]
    assert (rows[0].unit, rows[0].domain, rows[0].extras) == ("m", "outdoor", {"mask": True})
    for row in rows:
        depth, expected = load_depth(row), stored[row.sample_id].copy()
        assert expected[tree_diode.INVALID].all()
        expected[tree_diode.INVALID] = 0
        assert depth.dtype == np.float32
        np.testing.assert_array_equal(depth, expected)
        assert load_picture(row).shape == (768, 1024, 3)


@pytest.mark.parametrize("root", ["val", "val/outdoor", "train"])
def test_sample_ids_are_the_same_whichever_folder_is_the_root(tmp_path, root):
    tree_diode.make(tmp_path)
    rows = DIODEOutdoor(str(tmp_path / root)).index()
    assert [(r.sample_id, r.split) for r in rows] == ([TRAIN] if root == "train" else TEST)


def test_pictures_come_in_the_order_of_their_names(tmp_path):
    stored = tree_diode.make(tmp_path, train=0, test=6)
    assert [row.sample_id for row in DIODEOutdoor(str(tmp_path)).index()] == sorted(stored)


def test_without_masks(tmp_path):
    stored = tree_diode.make(tmp_path, train=0)
    for path in tmp_path.rglob("*_mask.npy"):
        path.unlink()
    for row in DIODEOutdoor(str(tmp_path), mask=False).index():
        assert row.extras == {"mask": False}
        np.testing.assert_array_equal(load_depth(row), stored[row.sample_id])


def test_depth_without_its_third_dimension(tmp_path):
    stored = tree_diode.make(tmp_path, train=0, test=1)
    (row,) = DIODEOutdoor(str(tmp_path), mask=False).index()
    np.save(row.depth, stored[row.sample_id])
    np.testing.assert_array_equal(load_depth(row), stored[row.sample_id])


def test_only_what_is_there_or_asked_for(tmp_path):
    tree_diode.make(tmp_path)
    assert {r.split for r in DIODEOutdoor(str(tmp_path), splits=["train"]).index()} == {"train"}
    with pytest.raises(InputError, match=r"val holds no picture of DIODE Outdoor: TTI"):
        DIODEOutdoor(str(tmp_path / "val"), splits=["train"]).index()


def test_a_half_unpacked_archive_names_the_first_file_and_the_number(tmp_path):
    tree_diode.make(tmp_path)
    first, second = sorted(tmp_path.glob("val/outdoor/*/*/*_mask.npy"))
    second.unlink()
    with pytest.raises(
        InputError, match=r"010_000_depth_mask.npy does not exist; 1 files .*train 1, test 2.*`mask=False`"
    ):
        DIODEOutdoor(str(tmp_path)).index()
    first.with_name(first.name.replace("_mask", "")).unlink()
    with pytest.raises(InputError, match=r"000_000_depth.npy does not exist; 2 files .*train 1, test 2"):
        DIODEOutdoor(str(tmp_path)).index()


def test_errors_name_file_expectation_and_finding(tmp_path):
    with pytest.raises(InputError, match=r"holds no picture of DIODE Outdoor"):
        DIODEOutdoor(str(tmp_path)).index()
    tree_diode.make(tmp_path, train=0, test=1)
    (row,) = DIODEOutdoor(str(tmp_path)).index()
    mask = row.depth.replace(".npy", "_mask.npy")
    np.save(mask, np.ones((384, 512)))
    with pytest.raises(InputError, match=r"depth_mask.npy should be 768 × 1024 float64 and is 384 × 512 float64"):
        load_depth(row)
    np.save(row.depth, np.zeros((768, 1024, 1)))
    with pytest.raises(InputError, match=r"000_depth.npy should be 768 × 1024 float32 and is 768 × 1024 float64"):
        load_depth(row)
    (tmp_path / "val").rename(tmp_path / "validation")
    for root in ("validation", "validation/outdoor"):
        with pytest.raises(InputError, match=r"validation holds scenes of DIODE Outdoor but is neither train nor val"):
            DIODEOutdoor(str(tmp_path / root)).index()


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.uint8, bool])
def test_masks_of_every_kind_of_number(tmp_path, kind):
    stored = tree_diode.make(tmp_path, train=0, test=1)
    (row,) = DIODEOutdoor(str(tmp_path)).index()
    path = row.depth.replace(".npy", "_mask.npy")
    np.save(path, np.load(path).astype(kind))
    expected = stored[row.sample_id].copy()
    expected[tree_diode.INVALID] = 0
    np.testing.assert_array_equal(load_depth(row), expected)
