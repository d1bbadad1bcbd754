"""What holds for all readers of published datasets."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support import (
    tree_c3vd,
    tree_diode,
    tree_hypersim,
    tree_ibims,
    tree_kitti,
    tree_nyu,
    tree_simcol,
    tree_sun_rgbd,
    tree_void,
)
from tr2m_plugin.datasets.readers import READERS, load_depth, load_picture, reader_of
from tr2m_plugin.datasets.readers.base import listed
from tr2m_plugin.datasets.readers.kitti import KITTI
from tr2m_plugin.datasets.readers.nyu import NYUv2
from tr2m_plugin.errors import InputError

TREES = {
    **{"c3vd": tree_c3vd, "diode": tree_diode, "hypersim": tree_hypersim, "ibims": tree_ibims, "kitti": tree_kitti},
    **{"nyu": tree_nyu, "simcol": tree_simcol, "sun_rgbd": tree_sun_rgbd, "void": tree_void},
}


def deny(path):
    raise PermissionError(13, "Permission denied", str(path))


@pytest.fixture
def without_rights(monkeypatch):
    """Takes the rights on the files and folders of some names away."""

    def take(*names):
        scan, read, find = os.scandir, Path.read_text, Path.is_file
        monkeypatch.setattr(os, "scandir", lambda path: (deny if Path(path).name in names else scan)(path))
        listing = os.listdir
        monkeypatch.setattr(os, "listdir", lambda path: (deny if Path(path).name in names else listing)(path))
        monkeypatch.setattr(Path, "read_text", lambda self, **o: deny(self) if self.name in names else read(self, **o))
        monkeypatch.setattr(Path, "is_file", lambda self: deny(self) if self.parent.name in names else find(self))

    return take


@pytest.mark.parametrize("name", [name for name in TREES if name not in ("c3vd", "diode", "simcol")])
def test_a_byte_order_mark_in_lists_and_cameras_changes_nothing(tmp_path, name):
    TREES[name].make(tmp_path)
    reader = reader_of(name)(str(tmp_path))
    rows = reader.index()
    texts = [path for path in tmp_path.rglob("*") if path.suffix in (".txt", ".csv")]
    assert texts
    for path in texts:
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")  # as macOS leaves them
    assert reader.index() == rows


@pytest.mark.parametrize("name", TREES)
def test_depth_of_another_size_than_its_picture(tmp_path, name):
    TREES[name].make(tmp_path)
    row = reader_of(name)(str(tmp_path)).index()[-1]
    (height, width), picture = load_depth(row).shape, cv2.imread(row.image)
    cv2.imwrite(row.image, picture[:-1])
    message = rf"{row.depth} is {height} × {width} and its picture {height - 1} × {width}: they must match"
    for extras in ({}, {"picture_size": [480, 640], "depth_size": [480, 640]}):
        reader = reader_of(name)(str(tmp_path), **extras)
        with pytest.raises(InputError, match=message):
            load_depth(reader.index()[-1])
    Path(row.image).unlink()
    assert load_depth(row).shape == (height, width), "that there is no picture is for load_picture to say"


def test_the_benchmark_crop_does_not_hide_another_size(tmp_path):
    tree_kitti.make(tmp_path)
    row = KITTI(str(tmp_path), crop="kb").index()[0]
    cv2.imwrite(row.depth, np.ones((360, 1230), np.uint16))
    with pytest.raises(InputError, match=r"0000.png is 360 × 1230 and its picture 375 × 1242: they must match"):
        load_depth(row)


def test_depth_is_resized_to_the_nearest_pixel_and_pictures_are_blended(tmp_path):
    stored = tree_nyu.make(tmp_path, train=0, test=1)["bathroom/rgb_00000"]
    for size in ([240, 320], [600, 900]):
        (row,) = NYUv2(str(tmp_path), splits=["test"], picture_size=size, depth_size=size).index()
        depth = load_depth(row)
        rows = np.arange(size[0]) * 480 // size[0]
        columns = np.arange(size[1]) * 640 // size[1]
        np.testing.assert_allclose(depth, stored[np.ix_(rows, columns)] / 1000, rtol=1e-6)
        assert load_picture(row).shape == (*size, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": [1, 2]}, r"crop must be 'kb' or top, bottom, left and right in whole pixels, not \[1, 2\]"),
        ({"crop": ["0", "4", "0", "8"]}, "crop must be"),
        ({"crop": [8, 4, 0, 8]}, "crop must be"),
        ({"crop": [-1, 4, 0, 8]}, "crop must be"),
        ({"crop": 5}, "crop must be"),
        ({"crop": "garg"}, "crop must be"),
        ({"picture_size": 5}, "picture_size must be height and width in whole pixels, not 5"),
        ({"picture_size": [480, 640, 3]}, "picture_size must be height and width"),
        ({"depth_size": [480, 0]}, "depth_size must be height and width"),
        ({"depth_size": "480"}, "depth_size must be height and width"),
        ({"depth_size": [480.5, 640]}, "depth_size must be height and width"),
    ],
)
def test_options_that_make_no_sense(tmp_path, options, message):
    with pytest.raises(InputError, match=f"NYU Depth v2: {message}"):
        NYUv2(str(tmp_path), **options)


def test_a_root_without_rights_is_named(tmp_path, without_rights):
    without_rights(tmp_path.name)
    for name in TREES:
        with pytest.raises(InputError, match=f"{tmp_path} cannot be read: Permission denied"):
            reader_of(name)(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "lacking"),
    [
        ("c3vd", "cecum_t1_a"),
        ("diode", "scene_00022"),
        ("hypersim", "cam_00"),
        ("ibims", "rgb"),
        ("ibims", "corridor_01.txt"),
        ("ibims", "imagelist.txt"),
        ("kitti", "eigen_test_files_with_gt.txt"),
        ("nyu", "nyudepthv2_test_files_with_gt.txt"),
        ("nyu", "bathroom"),
        ("simcol", "Frames_S5"),
        ("sun_rgbd", "image"),
        ("sun_rgbd", "intrinsics.txt"),
        ("void", "test_image.txt"),
        ("void", "test_ground_truth.txt"),
        ("void", "desktop2"),
    ],
)
def test_lists_and_folders_without_rights_are_named(tmp_path, without_rights, name, lacking):
    TREES[name].make(tmp_path, **({"table": False} if name == "hypersim" else {}))
    lacking = "scene_cam_00_final_preview" if lacking == "cam_00" else lacking
    without_rights(lacking)
    with pytest.raises(InputError, match=rf"/{lacking}\b.* cannot be read: Permission denied"):
        reader_of(name)(str(tmp_path)).index()


def test_a_table_without_rights_is_named(tmp_path, monkeypatch):
    tree_hypersim.make(tmp_path)
    reader = reader_of("hypersim")(str(tmp_path))
    monkeypatch.setattr(Path, "open", lambda self, *_, **__: deny(self))
    with pytest.raises(InputError, match=r"metadata_images_split_scene_v1.csv cannot be read: Permission denied"):
        list(reader.rows())


@pytest.mark.parametrize("name", ["diode", "ibims", "hypersim", "sun_rgbd"])
def test_hidden_files_and_what_systems_keep_are_passed_over(tmp_path, name):
    TREES[name].make(tmp_path)
    before = [row.sample_id for row in reader_of(name)(str(tmp_path)).index()]
    folders = [path for path in tmp_path.rglob("*") if path.is_dir()]
    for folder in folders:
        for path in [path for path in folder.iterdir() if path.is_file()]:
            (folder / f"._{path.name}").write_bytes(b"AppleDouble")
        for beside in ("@eaDir", ".ipynb_checkpoints"):
            (folder / beside).mkdir()
            (folder / beside / "scene_00022").mkdir()
            (folder / beside / "0001.png").write_bytes(b"no picture")
    assert [row.sample_id for row in reader_of(name)(str(tmp_path)).index()] == before


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("unit", "cm", "the class IBims1 has the unit 'cm', not m or mm"),
        ("counts", {"testing": 2}, "the row corridor_01 is of the split 'test', and `counts` has testing"),
        ("row", lambda self, *a, **b: KITTI(self.root).row(*a, **b), "the row corridor_01 does not name its reader"),
    ],
)
def test_what_is_wrong_with_a_readers_class_is_said(tmp_path, monkeypatch, attribute, value, message):
    tree_ibims.make(tmp_path)
    kind = reader_of("ibims")
    monkeypatch.setattr(kind, attribute, value)
    with pytest.raises(TypeError, match=message):
        listed(kind(str(tmp_path)))


@pytest.mark.parametrize("title", ["KITTI", "SimCol3D"])
def test_a_class_is_found_by_its_names_only(monkeypatch, title):
    monkeypatch.setitem(READERS, "nyu", title)
    if title == "KITTI":
        monkeypatch.setattr("tr2m_plugin.datasets.readers.nyu.KITTI", KITTI, raising=False)
    with pytest.raises(TypeError, match=rf"READERS looks for a class {title} of the name 'nyu' in nyu.py: there is no"):
        reader_of("nyu")


def test_only_wanted_splits_are_listed(tmp_path, monkeypatch):
    tree_nyu.make(tmp_path)
    every = listed(NYUv2(str(tmp_path)))
    monkeypatch.setattr(NYUv2, "rows", lambda self: every)  # as of a reader that does not ask `wants`
    for split in ("train", "test"):
        found = listed(NYUv2(str(tmp_path), splits=[split]))
        assert found == [row for row in every if row.split == split] != []


def test_depth_is_height_and_width(tmp_path, monkeypatch):
    tree_nyu.make(tmp_path)
    row = NYUv2(str(tmp_path)).index()[0]
    monkeypatch.setattr(NYUv2, "depth", staticmethod(lambda row: np.ones((480, 640, 1), np.float32)))
    with pytest.raises(InputError, match=rf"{row.truth} has depth of the shape \(480, 640, 1\), not height and width"):
        load_depth(row)
