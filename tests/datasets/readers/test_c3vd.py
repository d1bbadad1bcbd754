import cv2
import numpy as np
import pytest

from tests.support import tree_c3vd
from tr2m_plugin.datasets.readers import load_depth, load_picture
from tr2m_plugin.datasets.readers.c3vd import C3VD, SPLIT, TEST, VIDEOS, _old_name
from tr2m_plugin.description.templates import sequence_sentence
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import IndexRow


def ids(root, **options):
    return [(row.sample_id, row.split) for row in C3VD(str(root), **options).index()]


def test_frames_of_sixteen_bits_whose_ends_are_no_measurement(tmp_path):
    stored = tree_c3vd.make(tmp_path)
    rows = C3VD(str(tmp_path)).index()
    assert [(r.sample_id, r.split) for r in rows] == [
        ("cecum_t1_b/0000", "train"),
        ("cecum_t1_b/0001", "train"),
        ("cecum_t1_a/0000", "test"),
        ("cecum_t1_a/0001", "test"),
    ]
    assert all(isinstance(row, IndexRow) for row in rows)
    assert (rows[0].fx, rows[0].unit, rows[0].domain) == (None, "mm", "surgical")
    for row in rows:
        depth, numbers = load_depth(row), stored[row.sample_id]
        valid = (numbers > 0) & (numbers < 65535)
        assert depth.dtype == np.float32
        np.testing.assert_allclose(depth[valid], numbers[valid] * 100.0 / 65535, rtol=1e-6)
        assert not depth[~valid].any()
        assert load_picture(row).shape == (1080, 1350, 3)
        assert "cecum with texture type one" in sequence_sentence(row.sample_id)


def test_the_published_numbers():
    assert (len(VIDEOS), sum(VIDEOS.values()), sum(C3VD.counts.values())) == (22, 10015, 10015)
    assert C3VD.counts == {"train": 7200, "test": 2815}
    assert [len(TEST), len(SPLIT["train"])] == [8, 16], "PPSNet's 15, and the whole of desc_t4_a"


def test_the_published_numbers_of_what_is_there(tmp_path):
    tree_c3vd.make(tmp_path, 1, 1)
    assert {split: sum(videos.values()) for split, videos in C3VD(str(tmp_path)).published().items()} == C3VD.counts
    tree_c3vd.make(tmp_path, 1, 1, ("desc_t4_a_p1", "desc_t4_a_p2"))
    published = C3VD(str(tmp_path)).published()
    assert {split: sum(videos.values()) for split, videos in published.items()} == {"train": 7200 - 148, "test": 2815}
    assert not {"desc_t4_a", "desc_t4_a_p2"} & {*published["train"], *published["test"]}
    assert C3VD(str(tmp_path), split={"val": ["trans_t1_a"]}).published() == {"val": {"trans_t1_a": 61}}
    assert {C3VD.video(row) for row in C3VD(str(tmp_path), ["test"]).index()} == {"cecum_t1_a", "desc_t4_a_p2"}


def test_old_names_and_unpadded_numbers_in_their_order(tmp_path):
    tree_c3vd.make(tmp_path, train=1, test=3, ending="_under_review", number="{}", start=9)
    assert ids(tmp_path, splits=["test"]) == [
        ("cecum_t1_a/9", "test"),
        ("cecum_t1_a/10", "test"),
        ("cecum_t1_a/11", "test"),
    ]
    assert ids(tmp_path, splits=["train"]) == [("cecum_t1_b/9", "train")]
    (tmp_path / "cecum_t1_a_under_review/10_color.png").unlink()
    assert [sample for sample, _ in ids(tmp_path, splits=["test"])] == ["cecum_t1_a/9", "cecum_t1_a/11"], "a gap"


def test_the_undistorted_set_and_the_parts_of_one_video(tmp_path):
    tree_c3vd.make(tmp_path, 1, 1, ("desc_t4_a_p1", "desc_t4_a_p2"), "_under_review", apart=True, start=74)
    parts = [("desc_t4_a_p1/0074", "train"), ("desc_t4_a_p2/0074", "test")]
    assert ids(tmp_path) == parts
    tree_c3vd.make(tmp_path, 1, 1, ("desc_t4_a", "seq1"))
    assert ids(tmp_path) == parts, "the whole video would train on what the second part tests"
    row = C3VD(str(tmp_path), splits=["test"]).index()[0]
    assert load_depth(row).shape == load_picture(row).shape[:2]


def test_the_whole_video_is_trained_on_and_other_folders_are_passed_over(tmp_path):
    tree_c3vd.make(tmp_path, 1, 1, ("desc_t4_a", "seq1"))
    (tmp_path / "cecum_t2_a.zip").write_bytes(b"")
    assert ids(tmp_path) == [("desc_t4_a/0000", "train")]


def test_a_split_of_ones_own(tmp_path):
    tree_c3vd.make(tmp_path, 1, 1)
    assert ids(tmp_path, split={"val": ["cecum_t1_b"]}) == [("cecum_t1_b/0000", "val")]
    assert ids(tmp_path, split={"test": ["cecum_t1_b"], "val": ["cecum_t1_a"]}, splits=["val"]) == [
        ("cecum_t1_a/0000", "val")
    ]
    with pytest.raises(InputError, match=r"trans_t1_a/0000_color.png does not exist; 2 files .*test 1"):
        ids(tmp_path, split={"test": ["trans_t1_a"]})
    with pytest.raises(InputError, match="split has tset; it may have train, val, test"):
        ids(tmp_path, split={"tset": ["cecum_t1_b"]})
    with pytest.raises(InputError, match="split names cecum_t9_z; videos are cecum_t1_a"):
        ids(tmp_path, split={"test": ["cecum_t9_z"]})
    with pytest.raises(InputError, match="split names cecum_t1_b twice"):
        ids(tmp_path, split={"train": ["cecum_t1_b"], "test": ["cecum_t1_b"]})


def test_what_is_half_unpacked_or_there_twice(tmp_path):
    tree_c3vd.make(tmp_path)
    (tmp_path / "cecum_t1_a/0001_depth.tiff").unlink()
    (tmp_path / "trans_t2_a").mkdir()
    with pytest.raises(InputError, match=r"0001_depth.tiff does not exist; 3 files .*train 2, test 3"):
        ids(tmp_path)
    (tmp_path / "cecum_t1_a_under_review").mkdir()
    with pytest.raises(InputError, match=r"cecum_t1_a and .*cecum_t1_a_under_review are the same video"):
        ids(tmp_path)


def test_errors_name_file_expectation_and_finding(tmp_path):
    with pytest.raises(InputError, match="holds no picture of C3VD: Johns Hopkins"):
        ids(tmp_path)
    tree_c3vd.make(tmp_path, 0, 1)
    (row,) = C3VD(str(tmp_path), splits=["test"]).index()
    cv2.imwrite(row.depth, np.zeros((108, 135), np.uint8))
    with pytest.raises(InputError, match=r"0000_depth.tiff should be uint16 and is 108 × 135 uint8"):
        load_depth(row)
    cv2.imwrite(row.depth, np.zeros((108, 135, 3), np.uint16))
    with pytest.raises(InputError, match=r"0000_depth.tiff has the shape \(108, 135, 3\); a depth map has one channel"):
        load_depth(row)


# The names of 22 videos in C3VD_data_summary_registered.csv, as `SEGMENT_TEXTURE: videos`.
RENAMED = {
    **{"cecum_t1": 2, "cecum_t2": 3, "cecum_t3": 1, "cecum_t4": 2, "descending_t4": 1},
    **{"sigmoid_t1": 1, "sigmoid_t2": 1, "sigmoid_t3": 2},
    **{"transverse_t1": 2, "transverse_t2": 3, "transverse_t3": 2, "transverse_t4": 2},
}


def test_the_publishers_new_names(tmp_path):
    new = [f"c0_{name}_v{number}" for name, count in RENAMED.items() for number in range(1, count + 1)]
    assert sorted(map(_old_name, new)) == sorted(VIDEOS)
    assert _old_name("c0_transverse_t2_v3") == "trans_t2_c"
    assert _old_name("c0_descending_t4_v1_p2_under_review") == "desc_t4_a_p2"
    assert _old_name("c1_cecum_t1_v1") not in VIDEOS
    tree_c3vd.make(tmp_path, 1, 1, ("c0_cecum_t1_v2", "c0_cecum_t1_v1"))
    assert ids(tmp_path) == [("cecum_t1_b/0000", "train"), ("cecum_t1_a/0000", "test")]
    (tmp_path / "cecum_t1_b").mkdir()
    with pytest.raises(InputError, match=r"c0_cecum_t1_v\d and .*cecum_t1_. are the same video"):
        C3VD(str(tmp_path)).index()
