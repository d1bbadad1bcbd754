import cv2
import numpy as np
import pytest

from tests.support import tree_void
from tr2m_plugin.datasets.readers import load_depth, load_picture
from tr2m_plugin.datasets.readers.void import VOID
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import IndexRow

SAMPLES = [
    ("void_1500/data/mechanical_lab1/image/1552625295.7828", "train"),
    ("void_1500/data/mechanical_lab1/image/1552625296.8328", "train"),
    ("void_1500/data/desktop2/image/1552625295.7828", "test"),
    ("void_1500/data/desktop2/image/1552625296.8328", "test"),
]


@pytest.fixture
def release(tmp_path):
    return tmp_path / "void_release"


@pytest.mark.parametrize("root", ["void_release", "void_release/void_1500", "."])
def test_stamps_keep_their_dot_whichever_folder_is_the_root(tmp_path, release, root):
    stored = tree_void.make(release)
    rows = VOID(str(tmp_path / root)).index()
    assert [(r.sample_id, r.split) for r in rows] == SAMPLES
    assert all(isinstance(row, IndexRow) for row in rows)
    assert [getattr(rows[0], name) for name in ("fx", "fy", "cx", "cy")] == [514.638, 518.858, 315.267, 247.358]
    assert (rows[0].unit, rows[0].domain) == ("m", "indoor")
    for row in rows:
        depth = load_depth(row)
        assert depth.dtype == np.float32
        np.testing.assert_array_equal(depth, stored[row.sample_id] / 256)
        assert load_picture(row).shape == (480, 640, 3)


def test_void_1500_under_another_name_and_without_intrinsics(tmp_path, release):
    tree_void.make(release, camera=False)
    (tmp_path / "void_full").symlink_to((release / "void_1500").rename(tmp_path / "moved"))
    rows = VOID(str(tmp_path / "void_full"), splits=["test"]).index()
    assert [(r.sample_id, r.split) for r in rows] == SAMPLES[2:]
    assert [getattr(rows[0], name) for name in ("fx", "fy", "cx", "cy")] == [None] * 4


def test_listed_paths_may_begin_above_the_release(release):
    tree_void.make(release)
    for kind in ("image", "ground_truth"):
        path = release / f"void_1500/test_{kind}.txt"
        path.write_text("\n".join(f"/data/void_release/{line}" for line in path.read_text().split()))
    assert [(r.sample_id, r.split) for r in VOID(str(release), ["test"]).index()] == SAMPLES[2:]


def test_only_what_is_there_or_asked_for(release):
    tree_void.make(release)
    assert {r.split for r in VOID(str(release), splits=["train"]).index()} == {"train"}
    (release / "void_1500/train_image.txt").unlink()
    assert {r.split for r in VOID(str(release)).index()} == {"test"}


def test_a_half_unpacked_archive_names_the_first_file_and_the_number(release):
    tree_void.make(release)
    for kind in ("image", "ground_truth"):
        (release / f"void_1500/data/desktop2/{kind}/1552625296.8328.png").unlink()
    with pytest.raises(InputError, match=r"image/1552625296.8328.png does not exist; 2 files .*train 2, test 2"):
        VOID(str(release)).index()


def test_lists_that_do_not_belong_together(release):
    tree_void.make(release)
    truths = release / "void_1500/test_ground_truth.txt"
    first, second = truths.read_text().splitlines()
    truths.write_text(f"{first}\n{first}\n")
    with pytest.raises(InputError, match=r"test_ground_truth.txt, line 2: .*95.7828.png is not the depth of .*96.8328"):
        VOID(str(release), splits=["test"]).index()
    truths.write_text(f"{first}\n{second.replace('desktop2', 'stairs4')}\n")
    with pytest.raises(
        InputError, match=r"test_ground_truth.txt, line 2: data/stairs4/.* is not the depth of data/desk"
    ):
        VOID(str(release), splits=["test"]).index()
    truths.write_text(f"{first}\n")
    with pytest.raises(InputError, match=r"test_ground_truth.txt lists 1 files and test_image.txt 2"):
        VOID(str(release), splits=["test"]).index()
    truths.unlink()
    with pytest.raises(InputError, match=r"test_ground_truth.txt does not exist; it lists the depth of test_image.txt"):
        VOID(str(release), splits=["test"]).index()


def test_errors_name_file_expectation_and_finding(tmp_path, release):
    with pytest.raises(InputError, match=r"has none of train_image.txt, test_image.txt: .*void-dataset"):
        VOID(str(tmp_path)).index()
    tree_void.make(release, train=0, test=1)
    (row,) = VOID(str(release), splits=["test"]).index()
    cv2.imwrite(row.depth, np.zeros((480, 640), np.uint8))
    with pytest.raises(InputError, match=r"95.7828.png should be 480 × 640 uint16 and is 480 × 640 uint8"):
        load_depth(row)
    cv2.imwrite(row.depth, np.zeros((240, 320), np.uint16))
    with pytest.raises(InputError, match=r"95.7828.png should be 480 × 640 uint16 and is 240 × 320 uint16"):
        load_depth(row)
    matrix = release / "void_1500/data/desktop2/K.txt"
    matrix.write_text("514.6 518.9 315.3 247.4\n")
    with pytest.raises(InputError, match=r"K.txt should be a matrix of 3 × 3 and has the shape \(4,\)"):
        VOID(str(release), splits=["test"]).index()
    matrix.write_text("fx fy\n")
    with pytest.raises(InputError, match=r"K.txt is not a table of numbers"):
        VOID(str(release), splits=["test"]).index()
    (release / "void_1500/test_image.txt").write_text("void_150/data/desktop2/image/1552625295.7828.png\n")
    with pytest.raises(InputError, match=r"test_image.txt, line 1: 'void_150/.* is not below void_1500/"):
        VOID(str(release), splits=["test"]).index()


@pytest.mark.parametrize("place", [".", "data_splits", "data_splits/void", "void_1500/data_splits"])
def test_lists_in_the_root_or_as_rsa_keeps_them(release, place):
    tree_void.make(release)
    (release / place).mkdir(parents=True, exist_ok=True)
    for path in (release / "void_1500").glob("*.txt"):
        path.rename(release / place / path.name)
    assert [(r.sample_id, r.split) for r in VOID(str(release)).index()] == SAMPLES
