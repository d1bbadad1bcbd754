"""Picture, true depth and relative depth go through augmentation alike."""

import colorsys

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from tr2m_plugin.datasets.transforms import (
    MaskDepthBorder,
    RandomColor,
    RandomColorJitter,
    RandomCropDepth,
    RandomFlipDepth,
    RandomRotateDepth,
)
from tr2m_plugin.errors import InputError


@pytest.fixture(autouse=True)
def _seed():
    np.random.seed(0)


def row(height=20, width=30):
    """All three hold the same pattern, so that they can be compared after any movement."""
    values = np.arange(1, height * width + 1, dtype=np.float32).reshape(height, width) * 255 / (height * width)
    image = np.repeat(values.astype(np.uint8)[..., None], 3, 2)
    return {"img": image, "gt_depth": values.copy(), "relative": values.copy()}


def test_flip():
    before, after = row(), RandomFlipDepth(1.0)(row())
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value[:, ::-1])
    for name, value in RandomFlipDepth(0.0)(row()).items():
        np.testing.assert_array_equal(value, before[name])
    flipped = [RandomFlipDepth()(row())["gt_depth"][0, 0] != before["gt_depth"][0, 0] for _ in range(200)]
    assert 60 < sum(flipped) < 140


def test_crop_takes_the_same_window_of_all():
    before, corners = row(), set()
    for _ in range(300):
        after = RandomCropDepth((17, 26))(row())
        top, left = np.argwhere(before["gt_depth"] == after["gt_depth"][0, 0])[0]
        corners.add((top, left))
        for name, value in before.items():
            np.testing.assert_array_equal(after[name], value[top : top + 17, left : left + 26])
    assert corners == {(top, left) for top in range(4) for left in range(5)}
    whole = RandomCropDepth((20, 30))(row())
    np.testing.assert_array_equal(whole["gt_depth"], before["gt_depth"])


def test_rotation_samples_depth_and_blends_the_picture():
    before = row(60, 80)
    after = RandomRotateDepth(10)({name: value.copy() for name, value in before.items()})
    known = after["gt_depth"] > 0
    assert np.isin(after["gt_depth"][known], before["gt_depth"]).all(), "no depth that was not measured"
    assert 0 < (~known).sum() < 0.3 * known.size, "corners that the picture does not cover have no depth"
    step = np.abs(np.gradient(before["gt_depth"])).sum(0).max()
    inner = np.s_[10:-10, 10:-10]
    np.testing.assert_allclose(after["relative"][inner], after["gt_depth"][inner], atol=step)
    np.testing.assert_allclose(after["img"][inner][..., 0], after["gt_depth"][inner], atol=step + 1)
    assert not np.array_equal(after["gt_depth"][inner], before["gt_depth"][inner])
    nothing = RandomRotateDepth(0)({name: value.copy() for name, value in before.items()})
    np.testing.assert_array_equal(nothing["gt_depth"], before["gt_depth"])


def test_sparse_depth_stays_sparse():
    sparse = row(60, 80)
    sparse["gt_depth"][np.random.rand(60, 80) < 0.95] = 0
    after = RandomRotateDepth(5)(sparse)
    assert 0.02 < (after["gt_depth"] > 0).mean() < 0.08


def test_border():
    after = MaskDepthBorder((2, 18, 3, 27))(row())
    assert (after["gt_depth"][2:18, 3:27] == row()["gt_depth"][2:18, 3:27]).all()
    assert (after["gt_depth"] > 0).sum() == 16 * 24
    np.testing.assert_array_equal(after["img"], row()["img"])


def test_color_changes_the_picture_alone():
    before = row()
    after = RandomColor(gamma=(2, 2), brightness=(0.5, 0.5), color=(1, 1), prob=1)(row())
    expected = np.round(255 * np.clip((before["img"] / 255) ** 2 * 0.5, 0, 1))
    np.testing.assert_allclose(after["img"], expected, atol=1)
    np.testing.assert_array_equal(after["gt_depth"], before["gt_depth"])
    bright = RandomColor(brightness=(3, 3), prob=1)(row())["img"]
    assert bright.dtype == np.uint8
    assert bright[-1, -1].min() == 255
    tinted = RandomColor(color=(0.5, 1.5), prob=1)(row())["img"]
    assert not np.array_equal(tinted[..., 0], tinted[..., 1])
    np.testing.assert_array_equal(RandomColor(prob=0)(row())["img"], before["img"])


def test_errors():
    with pytest.raises(InputError, match=r"is \(20, 30\), too small for a crop of \(21, 30\)"):
        RandomCropDepth((21, 30))(row())
    with pytest.raises(InputError, match=r"relative is \(4, 4\) and the picture \(20, 30\): ResizeDepthInputs"):
        RandomFlipDepth(1.0)({**row(), "relative": np.zeros((4, 4), np.float32)})


def test_without_relative_depth():
    assert set(RandomFlipDepth(1.0)({name: row()[name] for name in ("img", "gt_depth")})) == {"img", "gt_depth"}


def test_a_border_is_one_datasets():
    depth = np.ones((6, 8), np.float32)
    masked = MaskDepthBorder((1, 5, 2, 6), datasets=["nyu"])
    assert masked({"dataset": "nyu", "gt_depth": depth})["gt_depth"].sum() == 16
    assert masked({"dataset": "kitti", "gt_depth": depth})["gt_depth"].sum() == 48


def test_jitter_equals_pillows():
    """Brightness, contrast and saturation as PIL.ImageEnhance, each alone; hue as colorsys."""
    image = np.random.default_rng(0).integers(0, 256, (16, 20, 3), np.uint8)
    none = {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0, "prob": 1}
    plain = RandomColorJitter(**none).transform({"img": image})["img"]
    assert np.abs(plain.astype(int) - image).max() <= 1
    for name, kind in (("brightness", "Brightness"), ("contrast", "Contrast"), ("saturation", "Color")):
        np.random.seed(3)
        found = RandomColorJitter(**{**none, name: 0.2}).transform({"img": image})["img"].astype(int)
        errors = []
        for factor in np.linspace(0.8, 1.2, 401):
            slow = np.asarray(getattr(ImageEnhance, kind)(Image.fromarray(image)).enhance(factor)).astype(int)
            errors.append(np.abs(found - slow).max())
        assert min(errors) <= 2, name
        assert errors[200] > 5, f"{name} changed the picture"
    np.random.seed(1)
    found = RandomColorJitter(**{**none, "hue": 0.1}).transform({"img": image})["img"]
    turns = [colorsys.rgb_to_hsv(*(pixel / 255)) for array in (image, found) for pixel in array.reshape(-1, 3)]
    before, after = np.array(turns).reshape(2, -1, 3)
    colored = before[:, 1] > 0.3
    turned = (after[:, 0] - before[:, 0] + 0.5)[colored] % 1 - 0.5
    assert np.ptp(turned) < 0.03
    assert 0.01 < abs(turned.mean()) <= 0.1


def test_colours_are_of_their_datasets_and_keep_the_pictures_kind():
    image = np.full((4, 4, 3), 100.4, np.float32)
    color = RandomColor(prob=1, datasets=["nyu"])
    assert color.transform({"img": image, "dataset": "kitti"})["img"] is image
    found = color.transform({"img": image, "dataset": "nyu"})["img"]
    assert found.dtype == np.float32
    assert not np.array_equal(found, found.round())
    assert RandomColorJitter(prob=1).transform({"img": image})["img"].dtype == np.float32


@pytest.mark.parametrize("moves", [RandomFlipDepth(prob=1.0), RandomRotateDepth(2.0), RandomCropDepth((2, 2))])
def test_features_that_would_stay_behind_are_refused(moves):
    results = {"img": np.zeros((4, 4, 3), np.uint8), "tokens": np.zeros((1, 8), np.float32)}
    with pytest.raises(InputError, match="image_features computed beforehand stay where they are"):
        moves.transform(results)
