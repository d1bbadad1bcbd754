import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tr2m_plugin.datasets import RGBDFolder
from tr2m_plugin.datasets.readers import load_depth, load_picture
from tr2m_plugin.errors import InputError
from tr2m_plugin.plain_yaml import parse_yaml
from tr2m_plugin.rows import IndexRow

WHOLE = {"image": "*_rgb.jpg", "depth": "*_depth.png", "depth_scale": 0.001, "unit": "m", "depth_range": [0.3, 10]}


def fill(root, names, image="{}_rgb.jpg", depth="{}_depth.png", size=(6, 8)):
    for name in names:
        for pattern, pixels in ((image, np.zeros((6, 8, 3), np.uint8)), (depth, np.ones(size, np.uint16))):
            path = root / pattern.format(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), pixels)


def test_pairs_by_name_with_folders_in_the_sample_id(tmp_path):
    fill(tmp_path, ["b", "a", "sub/c"])
    rows = RGBDFolder(str(tmp_path), name="mine", intrinsics=[1, 2, 3, 4], domain="indoor", **WHOLE).index()
    assert [r.sample_id for r in rows] == ["a", "b", "sub/c"]
    assert all(isinstance(row, IndexRow) for row in rows)
    first = rows[0]
    assert first.image == str(tmp_path / "a_rgb.jpg")
    assert first.depth == str(tmp_path / "a_depth.png")
    assert (first.depth_scale, first.unit, first.depth_min, first.depth_max) == (0.001, "m", 0.3, 10)
    assert (first.fx, first.cy, first.domain, first.split) == (1, 4, "indoor", "test")


def test_pairs_in_folders_and_depth_that_matches_the_pictures_pattern_too(tmp_path):
    fill(tmp_path, ["1", "2"], "rgb/{}.jpg", "depth/{}.png")
    rows = RGBDFolder(str(tmp_path), **{**WHOLE, "image": "rgb/*.jpg", "depth": "depth/*.png"}).index()
    assert [r.sample_id for r in rows] == ["1", "2"]
    assert rows[0].dataset == tmp_path.name
    fill(tmp_path / "flat", ["1"], "{}.png", "{}_depth.png")
    rows = RGBDFolder(str(tmp_path / "flat"), **{**WHOLE, "image": "*.png"}).index()
    assert [r.sample_id for r in rows] == ["1"]


def test_pictures_without_depth(tmp_path):
    fill(tmp_path, ["a"])
    (row,) = RGBDFolder(str(tmp_path), image="*_rgb.jpg").index()
    assert row.depth is None


def test_splits_are_stable_and_can_be_assigned(tmp_path):
    names = [f"{i:03d}" for i in range(60)]
    fill(tmp_path, names)
    folder = RGBDFolder(str(tmp_path), splits={"train": 0.7, "test": 0.3}, assign={"val": ["003"]}, **WHOLE)
    splits = {r.sample_id: r.split for r in folder.index()}
    assert splits == {r.sample_id: r.split for r in folder.index()}
    assert splits["003"] == "val"
    assert 30 < sum(s == "train" for s in splits.values()) < 54
    (tmp_path / "000_rgb.jpg").unlink()
    (tmp_path / "000_depth.png").unlink()
    assert {r.sample_id: r.split for r in folder.index()} == {k: v for k, v in splits.items() if k != "000"}


@pytest.mark.parametrize("option", ["depth_scale", "unit", "depth_range"])
def test_scale_unit_and_range_are_refused_when_missing(tmp_path, option):
    fill(tmp_path, ["a"])
    with pytest.raises(InputError, match=f"{option} is missing"):
        RGBDFolder(str(tmp_path), **{k: v for k, v in WHOLE.items() if k != option})


def test_errors_say_what_is_wrong(tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        RGBDFolder(str(tmp_path / "nowhere"), **WHOLE)
    with pytest.raises(InputError, match=r"must have one \*"):
        RGBDFolder(str(tmp_path), **{**WHOLE, "image": "rgb.jpg"})
    with pytest.raises(InputError, match="unit must be one of m, mm"):
        RGBDFolder(str(tmp_path), **{**WHOLE, "unit": "feet"})
    with pytest.raises(InputError, match=r"holds no file named \*_rgb.jpg"):
        RGBDFolder(str(tmp_path), **WHOLE).index()
    fill(tmp_path, ["a", "b"])
    with pytest.raises(InputError, match=r"z_rgb.jpg, which is assigned"):
        RGBDFolder(str(tmp_path), assign={"val": ["z"]}, **WHOLE).index()
    (tmp_path / "b_depth.png").unlink()
    with pytest.raises(InputError, match=r"b_rgb.jpg has no b_depth.png to go with it \(1 of 2"):
        RGBDFolder(str(tmp_path), **WHOLE).index()


def test_depth_of_another_size_is_refused(tmp_path):
    fill(tmp_path, ["a"], size=(3, 4))
    with pytest.raises(InputError, match=r"a_depth.png is 3 × 4 and its picture 6 × 8"):
        RGBDFolder(str(tmp_path), **WHOLE).index()


def test_masks_invalid_numbers_and_a_window(tmp_path):
    fill(tmp_path, ["a"])
    stored = np.arange(48, dtype=np.uint16).reshape(6, 8) * 1000
    stored[2, 2] = 65535
    cv2.imwrite(str(tmp_path / "a_depth.png"), stored)
    mask = np.full((6, 8), 255, np.uint8)
    mask[3] = 0
    cv2.imwrite(str(tmp_path / "a_mask.png"), mask)
    options = {**WHOLE, "mask": "*_mask.png", "invalid": [65535], "crop": [1, 5, 2, 6]}
    (row,) = RGBDFolder(str(tmp_path), **options).index()
    assert row.sample_id == "a", "a mask is no picture of its own"
    expected = np.where(mask > 0, stored, 0).astype(np.float32) / 1000
    expected[2, 2] = 0
    np.testing.assert_allclose(load_depth(row), expected[1:5, 2:6], rtol=1e-6)
    assert load_picture(row).shape == (4, 4, 3)
    cv2.imwrite(str(tmp_path / "a_mask.png"), mask[:3])
    with pytest.raises(InputError, match=r"a_mask.png is \(3, 8\) and its depth \(6, 8\)"):
        load_depth(row)
    (tmp_path / "a_mask.png").unlink()
    with pytest.raises(InputError, match=r"a_rgb.jpg has no mask a_mask.png"):
        RGBDFolder(str(tmp_path), **options).index()


def test_splits_from_files(tmp_path):
    fill(tmp_path, ["a", "b", "c"])
    (tmp_path / "train.txt").write_text("a\n\nb")
    folder = RGBDFolder(str(tmp_path), split_files={"train": "train.txt"}, assign={"val": ["b"]}, **WHOLE)
    assert {r.sample_id: r.split for r in folder.index()} == {"a": "train", "b": "val"}
    (tmp_path / "train.txt").write_text("a\nz")
    with pytest.raises(InputError, match=r"holds no z_rgb.jpg"):
        folder.index()
    with pytest.raises(InputError, match=r"no.txt does not exist"):
        RGBDFolder(str(tmp_path), split_files={"train": "no.txt"}, **WHOLE).index()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"intrinsics": [1, 2, 3]}, r"intrinsics must be the four numbers fx, fy, cx, cy, not \[1, 2, 3\]"),
        ({"intrinsics": [1, 2, 3, "4"]}, "intrinsics must be the four numbers"),
        ({"intrinsics": 500}, "intrinsics must be the four numbers"),
        ({"splits": {}}, "splits must be shares by split, .* not {}"),
        ({"splits": {"train": -1, "test": 2}}, "splits must be shares"),
        ({"splits": {"train": 0}}, "splits must be shares"),
        ({"splits": {"train": "all"}}, "splits must be shares"),
        ({"splits": ["train"]}, "splits must be shares"),
        ({"split_files": ["train.txt"]}, "split_files must be files by split"),
        ({"split_files": {"train": 1}}, "split_files must be files by split"),
        ({"assign": {"val": "003"}}, "assign must be lists of sample ids by split"),
        ({"invalid": 65535}, "invalid must be a list of numbers"),
        ({"crop": "garg"}, "crop must be 'kb' or top, bottom, left and right in whole pixels, not 'garg'"),
        ({"crop": [1, 2]}, "crop must be"),
        ({"crop": [0, 4, 0, "8"]}, "crop must be"),
        ({"crop": [0, 4.5, 0, 8]}, "crop must be"),
        ({"crop": [4, 4, 0, 8]}, "crop must be"),
        ({"depth_range": [10, 0.3]}, "depth_range must be nearest and farthest depth, two numbers above 0"),
        ({"depth_range": [0, 10]}, "depth_range must be"),
        ({"depth_range": [1]}, "depth_range must be"),
        ({"depth_range": "1 10"}, "depth_range must be"),
        ({"depth_range": [1, float("nan")]}, "depth_range must be"),
        ({"depth_scale": "1e-3"}, "depth_scale must be a number above 0, not '1e-3'"),
        ({"depth_scale": 0}, "depth_scale must be a number above 0"),
    ],
)
def test_options_that_make_no_sense(tmp_path, options, message):
    with pytest.raises(InputError, match=f"RGBDFolder {tmp_path}: {message}"):
        RGBDFolder(str(tmp_path), **{**WHOLE, **options})


def test_every_pair_must_have_one_size(tmp_path):
    fill(tmp_path, ["a", "b", "c", "d"])
    cv2.imwrite(str(tmp_path / "b_depth.png"), np.ones((3, 4), np.uint16))
    (tmp_path / "c_rgb.jpg").write_text("no picture")
    (tmp_path / "d_rgb.jpg").unlink()
    (tmp_path / "d_depth.png").unlink()
    first, second, third = RGBDFolder(str(tmp_path), **WHOLE).index()
    assert load_depth(first).shape == (6, 8)
    for extras in ({}, {"crop": [0, 2, 0, 2]}, {"picture_size": [6, 8], "depth_size": [6, 8]}):
        with pytest.raises(InputError, match=r"b_depth.png is 3 × 4 and its picture 6 × 8: they must match"):
            load_depth(replace(second, extras=extras))
    assert load_depth(third).shape == (6, 8), "that the picture is broken is for load_picture to say"
    assert load_depth(replace(first, image=str(tmp_path / "d_rgb.jpg"))).shape == (6, 8)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_the_size_of_a_turned_picture_is_that_which_is_read(tmp_path, suffix):
    fill(tmp_path, ["a"], "{}_rgb.png")
    exif = Image.Exif()
    options = {**WHOLE, "image": f"*_rgb.{suffix}"}
    for orientation, size in ((3, (6, 8)), (6, (8, 6))):
        exif[274] = orientation
        Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(tmp_path / f"a_rgb.{suffix}", exif=exif)
        cv2.imwrite(str(tmp_path / "a_depth.png"), np.ones(size, np.uint16))
        (row,) = RGBDFolder(str(tmp_path), **options).index()
        assert load_depth(row).shape == load_picture(row).shape[:2] == size
    cv2.imwrite(str(tmp_path / "a_depth.png"), np.ones((6, 9), np.uint16))
    with pytest.raises(InputError, match=r"a_depth.png is 6 × 9 and its picture 8 × 6"):
        load_depth(row)


def test_the_size_of_a_picture_is_read_without_decoding_it(tmp_path, monkeypatch):
    fill(tmp_path, ["a"], "{}_rgb.png")
    (row,) = RGBDFolder(str(tmp_path), **{**WHOLE, "image": "*_rgb.png"}).index()
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded"))
    assert load_depth(row).shape == (6, 8)


def test_masks_may_be_arrays_of_truth(tmp_path):
    fill(tmp_path, ["a"])
    mask = np.ones((6, 8), bool)
    mask[0] = False
    np.save(tmp_path / "a_mask.npy", mask)
    (row,) = RGBDFolder(str(tmp_path), mask="*_mask.npy", **WHOLE).index()
    np.testing.assert_array_equal(load_depth(row) > 0, mask)


def test_folders_without_rights_are_named(tmp_path, monkeypatch):
    fill(tmp_path, ["a", "sub/b"])
    folder = RGBDFolder(str(tmp_path), **WHOLE)
    scan = os.scandir

    def refuse(path):
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match=r"/sub cannot be read: Permission denied"):
        folder.index()

    def deny(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "is_dir", deny)
    with pytest.raises(InputError, match=f"{tmp_path} cannot be read: Permission denied"):
        RGBDFolder(str(tmp_path), **WHOLE)


def test_what_file_systems_keep_beside_data_is_passed_over(tmp_path):
    fill(tmp_path, ["a", "lost+found/b"])
    assert [row.sample_id for row in RGBDFolder(str(tmp_path), **WHOLE).index()] == ["a"]


@pytest.mark.parametrize(
    ("image", "depth"),
    [("*_rgb.*", "*_depth.*"), ("*_rgb.{jpg,PNG}", "*_depth.{png,npy}"), ("*_{rgb,color}.*", "*_depth.*")],
)
def test_several_kinds_of_file(tmp_path, image, depth):
    fill(tmp_path, ["a", "sub/b.c"])
    cv2.imwrite(str(tmp_path / "d.png"), np.zeros((6, 8, 3), np.uint8))
    (tmp_path / "d.png").rename(tmp_path / "d_rgb.PNG")
    np.save(tmp_path / "d_depth.npy", np.ones((6, 8), np.float32))
    for name in ("a_rgb.txt", "a_depth.json", "e_rgb"):
        (tmp_path / name).write_text("A room.")
    rows = RGBDFolder(str(tmp_path), **{**WHOLE, "image": image, "depth": depth}).index()
    assert [row.sample_id for row in rows] == ["a", "d", "sub/b.c"]
    assert rows[1].depth.endswith("d_depth.npy")
    (tmp_path / "a_rgb.PNG").write_bytes((tmp_path / "d_rgb.PNG").read_bytes())
    with pytest.raises(InputError, match=r"a_rgb\.\w+ and .*a_rgb\.\w+ are both a: keep one of them"):
        RGBDFolder(str(tmp_path), **{**WHOLE, "image": image, "depth": depth}).index()


def test_a_first_pair_that_cannot_be_read_ends_nothing(tmp_path):
    fill(tmp_path, ["a", "b", "c"])
    (tmp_path / "a_depth.png").write_bytes((tmp_path / "a_depth.png").read_bytes()[:40])
    (tmp_path / "b_rgb.jpg").write_text("no picture")
    assert len(RGBDFolder(str(tmp_path), **WHOLE).index()) == 3
    (tmp_path / "c_depth.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"a_depth.png is not a depth map"):
        RGBDFolder(str(tmp_path), **WHOLE).index()


def test_sample_ids_that_yaml_takes_for_numbers(tmp_path):
    fill(tmp_path, ["0001", "17", "0x1F"])
    given = parse_yaml("{val: [0001, 17]}", "x")
    rows = RGBDFolder(str(tmp_path), assign=given, **WHOLE).index()
    assert {row.sample_id: row.split for row in rows} == {"0001": "val", "17": "val", "0x1F": "test"}
    with pytest.raises(InputError, match=r"holds no 1_rgb.jpg, which .*; 0001 is there: write it in quotes, '0001'"):
        RGBDFolder(str(tmp_path), assign={"val": [1]}, **WHOLE).index()
    with pytest.raises(InputError, match="assign must be lists of sample ids by split"):
        RGBDFolder(str(tmp_path), assign={"val": [False]}, **WHOLE)


@pytest.mark.parametrize("name", ["a\nb", "..", "a/b", 7])
def test_names_that_no_file_can_have(tmp_path, name):
    with pytest.raises(InputError, match="name must be printable, without a slash"):
        RGBDFolder(str(tmp_path), name=name, **WHOLE)


def test_numbers_as_yaml_writes_them(tmp_path):
    fill(tmp_path, ["a"])
    options = parse_yaml(
        "{depth_scale: 1e-3, depth_range: [5e-4, 1e1], invalid: [6e4], intrinsics: [5e2, 500, 3.2e2, 240]}",
        "x",
    )
    (row,) = RGBDFolder(str(tmp_path), **{**WHOLE, **options}).index()
    assert (row.depth_scale, row.depth_min, row.depth_max, row.fx) == (0.001, 0.0005, 10, 500)


def test_invalid_numbers_are_those_of_the_stored_type(tmp_path):
    fill(tmp_path, ["a"])
    for stored in (np.float32(65.535), np.float16(65.535), np.float64(65.535)):
        depth = np.full((6, 8), 2, stored.dtype)
        depth[0] = stored
        np.save(tmp_path / "a_depth.npy", depth)
        (row,) = RGBDFolder(
            str(tmp_path), **{**WHOLE, "depth": "*_depth.npy", "depth_scale": 1, "invalid": [65.535]}
        ).index()
        assert (load_depth(row) > 0).sum() == 40


def test_jpeg_is_no_format_of_depth_and_masks(tmp_path):
    fill(tmp_path, ["a"], depth="{}_depth.jpg")
    with pytest.raises(InputError, match=r"a_depth.jpg is a JPEG, which changes numbers: .* PNG"):
        RGBDFolder(str(tmp_path), **{**WHOLE, "depth": "*_depth.jpg"}).index()
    fill(tmp_path, ["a"])
    cv2.imwrite(str(tmp_path / "a_mask.jpg"), np.eye(6, 8, dtype=np.uint8) * 255)
    with pytest.raises(InputError, match=r"a_mask.jpg is a JPEG"):
        RGBDFolder(str(tmp_path), mask="*_mask.jpg", **WHOLE).index()


def test_a_picture_has_one_split(tmp_path):
    fill(tmp_path, ["a", "b", "c"])
    (tmp_path / "train.txt").write_text("a\nb\n")
    (tmp_path / "test.txt").write_text("b\nc\n")
    files = {"train": "train.txt", "test": "test.txt"}
    with pytest.raises(InputError, match="b is in the splits train and test: leave it in one"):
        RGBDFolder(str(tmp_path), split_files=files, **WHOLE).index()
    with pytest.raises(InputError, match="a is in the splits train and test"):
        RGBDFolder(str(tmp_path), assign={"train": ["a"], "test": ["a"]}, **WHOLE).index()
    rows = RGBDFolder(
        str(tmp_path),
        split_files={"train": "train.txt"},
        assign={"test": ["b"]},
        **WHOLE,
    ).index()
    assert [(row.sample_id, row.split) for row in rows] == [("a", "train"), ("b", "test")]


def test_names_in_other_letters_are_counted(tmp_path, caplog):
    fill(tmp_path, ["a"])
    fill(tmp_path, ["B", "C"], "{}_RGB.JPG", "{}_DEPTH.PNG")
    assert [row.sample_id for row in RGBDFolder(str(tmp_path), **WHOLE).index()] == ["a"]
    assert "2 like *_rgb.jpg but for small and large letters" in caplog.text
    assert "2 like *_depth.png but for" in caplog.text
