from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.support import tree_kitti
from tr2m_plugin.datasets.readers import load_depth, load_picture
from tr2m_plugin.datasets.readers.kitti import KITTI
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import IndexRow

SAMPLES = [
    ("2011_09_26/2011_09_26_drive_0057_sync/image_02/data/0000000000", "train"),
    ("2011_10_03/2011_10_03_drive_0042_sync/image_02/data/0000000003", "train"),
    ("2011_09_26/2011_09_26_drive_0002_sync/image_02/data/0000000000", "test"),
    ("2011_09_30/2011_09_30_drive_0016_sync/image_02/data/0000000003", "test"),
]


def test_lines_without_ground_truth_are_left_out(tmp_path):
    stored = tree_kitti.make(tmp_path, none=1)
    rows = KITTI(str(tmp_path)).index()
    assert [(r.sample_id, r.split) for r in rows] == SAMPLES, "the test list has three lines and no final newline"
    assert all(isinstance(row, IndexRow) for row in rows)
    assert [(r.fx, r.fy, r.cx) for r in rows[:2]] == [(721.5377, 721.5377, None), (718.856, 718.856, None)]
    assert (rows[0].unit, rows[0].domain, rows[0].extras) == ("m", "outdoor", {})
    for row in rows:
        depth = load_depth(row)
        assert depth.dtype == np.float32
        np.testing.assert_array_equal(depth, stored[row.sample_id] / 256)
        assert load_picture(row).shape == (*depth.shape, 3)
    assert [load_depth(row).shape for row in rows[1:]] == [(376, 1241), (375, 1242), (370, 1226)]


@pytest.mark.parametrize("layout", [{"merged": False}, {"dates": True}, {"slash": "/"}])
@pytest.mark.parametrize(("pictures", "depths"), [("raw_data", "data_depth_annotated"), (".", ".")])
def test_ground_truth_as_published_by_date_or_merged(tmp_path, layout, pictures, depths):
    stored = tree_kitti.make(tmp_path, pictures=pictures, depths=depths, **layout)
    rows = KITTI(str(tmp_path)).index()
    assert [(r.sample_id, r.split) for r in rows] == SAMPLES
    for row in rows:
        np.testing.assert_array_equal(load_depth(row), stored[row.sample_id] / 256)


def test_folders_and_lists_of_ones_own(tmp_path):
    root, gts = tmp_path / "root", tmp_path / "elsewhere"
    stored = tree_kitti.make(root, none=0, pictures="my pictures", depths=gts)
    (root / "my_test.txt").write_text((root / "eigen_test_files_with_gt.txt").read_text() + "\n\n")
    reader = KITTI(str(root), splits=["test"], test_list="my_test.txt", pictures="my pictures", depths=str(gts))
    rows = reader.index()
    assert [(r.sample_id, r.split) for r in rows] == SAMPLES[2:]
    np.testing.assert_array_equal(load_depth(rows[0]), stored[SAMPLES[2][0]] / 256)
    (root / "splits").mkdir()
    (root / "eigen_test_files_with_gt.txt").rename(root / "splits/eigen_test_files_with_gt.txt")
    assert len(KITTI(str(root), ["test"], pictures="my pictures", depths=str(gts)).index()) == 2


def test_benchmark_crop_is_at_the_bottom_and_in_the_middle(tmp_path):
    stored = tree_kitti.make(tmp_path)
    for row in KITTI(str(tmp_path), crop="kb").index():
        assert row.extras == {"crop": "kb"}
        depth, full = load_depth(row), stored[row.sample_id] / 256
        picture, whole = load_picture(row), cv2.imread(row.image)[..., ::-1]
        assert depth.shape == (352, 1216)
        top, left = {(375, 1242): (23, 13), (376, 1241): (24, 12), (370, 1226): (18, 5)}[full.shape]
        assert left == int((full.shape[1] - 1216) / 2), "12, not 13, where the margin is 25"
        for y, x in ((0, 0), (0, 1215), (351, 0), (351, 1215), (200, 600)):
            assert depth[y, x] == full[y + top, x + left]
            assert (picture[y, x] == whole[y + top, x + left]).all()
        np.testing.assert_array_equal(depth, full[-352:, left : left + 1216])


def test_a_half_unpacked_archive_names_the_first_file_and_the_number(tmp_path):
    tree_kitti.make(tmp_path)
    drive = tmp_path / "raw/2011_09_30/2011_09_30_drive_0016_sync/image_02/data"
    (drive / "0000000003.png").unlink()
    with pytest.raises(InputError, match=r"0016_sync/image_02/data/0000000003.png does not exist; 1 files .* test 2"):
        KITTI(str(tmp_path)).index()
    (tmp_path / "gts/2011_09_26_drive_0057_sync").rename(tmp_path / "gone")
    with pytest.raises(InputError, match=r"gts/2011_09_26_drive_0057_sync/proj_depth/.*0.png does not exist; 2 files"):
        KITTI(str(tmp_path)).index()
    assert len(list(KITTI(str(tmp_path)).rows())) == 4


def test_errors_name_file_expectation_and_finding(tmp_path):
    with pytest.raises(
        InputError, match=r"has none of eigen_train_files_with_gt.txt, eigen_test_files_with_gt.txt: KIT"
    ):
        KITTI(str(tmp_path)).index()
    tree_kitti.make(tmp_path, train=1, test=1, none=0)
    with pytest.raises(InputError, match=r"has no folder of ground truth: looked for truth"):
        KITTI(str(tmp_path), depths="truth").index()
    (row,) = KITTI(str(tmp_path), splits=["test"]).index()
    cv2.imwrite(row.depth, np.zeros((375, 1242), np.uint8))
    with pytest.raises(InputError, match=r"0000000000.png should be uint16 and is 375 × 1242 uint8"):
        load_depth(row)
    cv2.imwrite(row.image, np.zeros((300, 1242, 3), np.uint8))
    cv2.imwrite(row.depth, np.zeros((300, 1242), np.uint16))
    with pytest.raises(InputError, match=r"0000000000.png is 300 × 1242, too small for the crop kb"):
        load_depth(replace(row, extras={"crop": "kb"}))
    (tmp_path / "monodepth2.txt").write_text("2011_09_26/2011_09_26_drive_0022_sync 473 r\n")
    with pytest.raises(
        InputError, match=r"monodepth2.txt: 'r' is no focal length; lines must be picture, depth, focal"
    ):
        KITTI(str(tmp_path), train_list="monodepth2.txt").index()
    with pytest.raises(InputError, match=r"has the splits train, test, not val"):
        KITTI(str(tmp_path), splits=["val"])


def test_zoedepths_names_of_the_lists(tmp_path):
    tree_kitti.make(tmp_path)
    before = [row.sample_id for row in KITTI(str(tmp_path)).index()]
    for split in ("train", "test"):
        name = f"eigen_{split}_files_with_gt.txt"
        (tmp_path / name).rename(tmp_path / f"kitti_{name}")
    assert [row.sample_id for row in KITTI(str(tmp_path)).index()] == before
    assert set(KITTI(str(tmp_path)).lists()) == {"train", "test"}
    for path in tmp_path.glob("kitti_*.txt"):
        path.unlink()
    with pytest.raises(InputError, match=r"has none of eigen_train_files_with_gt.txt, eigen_test"):
        KITTI(str(tmp_path)).index()
