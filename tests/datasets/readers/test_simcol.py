import cv2
import numpy as np
import pytest

from tests.support import tree_simcol
from tr2m_plugin.datasets.readers import load_depth, load_picture
from tr2m_plugin.datasets.readers.simcol import SimCol3D
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import IndexRow


def splits(root, **options):
    return {row.sample_id.split("/")[1]: row.split for row in SimCol3D(str(root), **options).index()}


def write_list(root, text):
    (root / "misc").mkdir(exist_ok=True)
    (root / "misc/test_file.txt").write_text(text)


def test_transparent_frames_with_depth_to_twenty_centimetres(tmp_path):
    stored = tree_simcol.make(tmp_path)
    rows = SimCol3D(str(tmp_path)).index()
    assert [row.sample_id for row in rows] == list(stored)
    assert rows[0].sample_id == "SyntheticColon_I/Frames_S1/FrameBuffer_0000"
    assert [row.split for row in rows] == ["train"] * 2 + ["val"] * 2 + ["test"] * 2
    assert all(isinstance(row, IndexRow) for row in rows)
    assert [getattr(rows[0], key) for key in ("fx", "fy", "cx", "cy", "unit")] == [227.6, 237.5, 227.6, 237.5, "mm"]
    for number, row in enumerate(rows):
        depth = load_depth(row)
        assert depth.dtype == np.float32
        np.testing.assert_allclose(depth, stored[row.sample_id] / 255 / 256 * 200, rtol=1e-6)
        np.testing.assert_array_equal(load_picture(row), tree_simcol.frame(number)[0][..., :3])
    np.testing.assert_allclose(load_depth(rows[0])[0], 200, rtol=1e-6)


def test_the_published_numbers():
    assert SimCol3D.counts == {"train": 18 * 1201, "val": 6 * 1201, "test": 9009}
    assert sum(SimCol3D.counts.values()) == 37833


def test_the_published_numbers_of_what_is_listed(tmp_path):
    tree_simcol.make(tmp_path)
    assert {split: sum(n.values()) for split, n in SimCol3D(str(tmp_path)).published().items()} == SimCol3D.counts
    tree_simcol.trajectory(tmp_path, "SyntheticColon_I_Test/Frames_S10_OP", 1)
    assert [SimCol3D.video(row) for row in SimCol3D(str(tmp_path), ["test"]).index()] == ["S5", "S5", "S10"]
    write_list(tmp_path, "SyntheticColon_I/Frames_S5")
    assert SimCol3D(str(tmp_path), ["test"]).published() == {"test": {"S5": 1201}}


def test_trajectories_in_the_order_of_their_numbers(tmp_path):
    for name in ("S10", "S2", "S1", "S5"):
        tree_simcol.trajectory(tmp_path, f"SyntheticColon_I/Frames_{name}", 1)
    tree_simcol.trajectory(tmp_path, "SyntheticColon_III/Frames_O1", 1)
    tree_simcol.trajectory(tmp_path, "SyntheticColon_I/Frames_S99", 1)
    assert list(splits(tmp_path)) == ["Frames_S1", "Frames_S2", "Frames_S5", "Frames_S10", "Frames_O1"]
    assert list(splits(tmp_path, splits=["test"])) == ["Frames_S5", "Frames_S10", "Frames_O1"]


def test_the_names_of_the_challenges_test(tmp_path):
    tree_simcol.trajectory(tmp_path, "SyntheticColon_I_Test/Frames_S5_OP", 1)
    (row,) = SimCol3D(str(tmp_path)).index()
    assert (row.sample_id, row.split) == ("SyntheticColon_I_Test/Frames_S5_OP/FrameBuffer_0000", "test")
    assert load_depth(row).shape == (475, 475)
    tree_simcol.trajectory(tmp_path, "SyntheticColon_I/Frames_S5", 1)
    assert splits(tmp_path) == {"Frames_S5": "test"}, "not twice"


def test_the_test_list_with_slashes_and_without_a_final_newline(tmp_path):
    tree_simcol.make(tmp_path, names=("S1", "S4", "S15"))
    tree_simcol.trajectory(tmp_path, "SyntheticColon_I/Frames_S5", 1)
    write_list(tmp_path, "/SyntheticColon_I/Frames_S15/")
    assert splits(tmp_path) == {"Frames_S1": "train", "Frames_S4": "val", "Frames_S5": "train", "Frames_S15": "test"}
    write_list(tmp_path, "Frames_S4/\n\nSyntheticColon_I/Frames_S15\r\n")
    assert splits(tmp_path, splits=["test"]) == {"Frames_S4": "test", "Frames_S15": "test"}
    write_list(tmp_path, "SyntheticColon_II/Frames_B5")
    assert "test" not in splits(tmp_path, splits=["train", "val"]).values()
    with pytest.raises(InputError, match=r"SyntheticColon_II/Frames_B5/FrameBuffer_0000.png does not exist; 2 files"):
        splits(tmp_path)


def test_a_half_unpacked_archive_names_the_first_file_and_the_number(tmp_path):
    tree_simcol.make(tmp_path)
    (tmp_path / "SyntheticColon_I/Frames_S4/Depth_0001.png").unlink()
    (tmp_path / "SyntheticColon_I/Frames_S5/Depth_0000.png").unlink()
    with pytest.raises(InputError, match=r"Frames_S4/Depth_0001.png does not exist; 2 files .*train 2, val 2, test 2"):
        SimCol3D(str(tmp_path)).index()
    (tmp_path / "SyntheticColon_I/Frames_S2").mkdir()
    with pytest.raises(InputError, match=r"Frames_S2/FrameBuffer_0000.png does not exist"):
        SimCol3D(str(tmp_path), splits=["train"]).index()


def test_errors_name_file_expectation_and_finding(tmp_path):
    with pytest.raises(InputError, match="holds no picture of SimCol3D"):
        SimCol3D(str(tmp_path)).index()
    tree_simcol.make(tmp_path, train=0, val=0, test=1)
    (row,) = SimCol3D(str(tmp_path)).index()
    cv2.imwrite(row.depth, np.zeros((475, 475), np.uint8))
    with pytest.raises(InputError, match=r"Depth_0000.png should be 475 × 475 uint16 and is 475 × 475 uint8"):
        load_depth(row)
    cv2.imwrite(row.depth, np.zeros((256, 256), np.uint16))
    with pytest.raises(InputError, match=r"should be 475 × 475 uint16 and is 256 × 256 uint16"):
        load_depth(row)
    for text in ("Frames_S99\n", "SyntheticColon_I\n"):
        write_list(tmp_path, text)
        with pytest.raises(InputError, match=rf"test_file.txt: '{text.strip()}' names no trajectory"):
            SimCol3D(str(tmp_path)).index()
    write_list(tmp_path, "\n")
    with pytest.raises(InputError, match=r"test_file.txt names no trajectory: restore it"):
        SimCol3D(str(tmp_path)).index()


def test_pictures_of_sixteen_bits_as_published(tmp_path):
    tree_simcol.make(tmp_path, train=0, val=0, test=1)
    (row,) = SimCol3D(str(tmp_path)).index()
    eight = np.random.default_rng(0).integers(0, 255, (475, 475, 4), np.uint16)
    cv2.imwrite(row.image, eight[..., [2, 1, 0, 3]] * np.uint16(257))
    np.testing.assert_array_equal(load_picture(row), eight[..., :3])
