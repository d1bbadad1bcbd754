import importlib
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest

from tr2m_plugin.datasets.arrays import write_shard
from tr2m_plugin.datasets.transforms import LoadDepthInputs, PackDepthInputs, ResizeDepthInputs
from tr2m_plugin.errors import InputError, MissingExtraError
from tr2m_plugin.rows import IndexRow


@pytest.fixture
def row(tmp_path):
    rng = np.random.default_rng(0)
    cv2.imwrite(str(tmp_path / "a.png"), rng.integers(0, 255, (8, 12, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "a_depth.png"), np.arange(96, dtype=np.uint16).reshape(8, 12) * 100)
    write_shard(tmp_path / "r.safetensors", {"mine/a": rng.random((14, 28)).astype(np.float16)})
    indexed = IndexRow(
        dataset="mine",
        sample_id="a",
        split="train",
        domain="indoor",
        image=str(tmp_path / "a.png"),
        depth=str(tmp_path / "a_depth.png"),
        depth_scale=0.001,
        depth_min=0.1,
        depth_max=10.0,
    )
    return {
        "row": indexed,
        "relative_depth": f"{tmp_path / 'r.safetensors'}#mine/a",
        "image_features": None,
        "texts": ["one", "two"],
        "text_features": [[1.0, 0.0], [0.0, 1.0]],
    }


def test_training_brings_everything_to_the_networks_size(row):
    out = PackDepthInputs()(ResizeDepthInputs()(LoadDepthInputs()(dict(row))))
    sample = out["data_samples"]
    assert out["inputs"].shape == (3, 14, 28)
    assert sample.gt_depth_map.data.shape == (1, 14, 28)
    tenths = sample.gt_depth_map.data.numpy() * 10
    assert np.abs(tenths - tenths.round()).max() < 1e-4  # depth is sampled, never blended


def test_evaluation_keeps_the_truths_size(row):
    out = PackDepthInputs()(ResizeDepthInputs(depth=False)(LoadDepthInputs()(dict(row))))
    assert out["data_samples"].gt_depth_map.data.shape == (1, 8, 12)
    assert out["data_samples"].text == "one"


def test_pictures_without_depth_have_no_valid_pixel(row):
    loaded = LoadDepthInputs()({**row, "row": replace(row["row"], depth=None)})
    assert loaded["gt_depth"].shape == (8, 12)
    assert not loaded["gt_depth"].any()


def test_the_text_feature_belongs_to_the_text(row):
    np.random.seed(0)
    seen = set()
    for _ in range(20):
        loaded = LoadDepthInputs(text="random")(dict(row))
        seen.add((loaded["text"], tuple(loaded["text_feature"])))
    assert seen == {("one", (1.0, 0.0)), ("two", (0.0, 1.0))}


def test_without_mmcv_the_choices_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mmcv.transforms", None)
    with pytest.raises(MissingExtraError, match=r"mmcv-lite .*tr2m_plugin\[lite\].*onedl-mmcv"):
        importlib.reload(sys.modules["tr2m_plugin.datasets.transforms.base"])


def test_pictures_without_sentence_and_relative_depth(row):
    row.update(relative_depth=None, texts=None)
    out = PackDepthInputs()(ResizeDepthInputs(size=(16, 24))(LoadDepthInputs(text="random")(row)))
    assert out["inputs"].shape == (3, 16, 24)
    assert out["data_samples"].keys() == ["gt_depth_map"]
    assert out["data_samples"].gt_depth_map.data.shape == (1, 16, 24)
    with pytest.raises(InputError, match="needs a `size`"):
        ResizeDepthInputs()(LoadDepthInputs()(row))


def test_a_given_size_takes_relative_depth_along(row):
    out = ResizeDepthInputs(size=(16, 24))(LoadDepthInputs()(dict(row)))
    assert out["relative"].shape == out["gt_depth"].shape == out["img"].shape[:2] == (16, 24)


def test_sentences_are_drawn_by_the_weights_of_their_sources(row):
    row.update(texts=["one", "two", "three"], text_sources=["a", "a", "b"], text_features=np.eye(3).tolist())
    np.random.seed(0)

    def share(**weights):
        loader = LoadDepthInputs(text="random", weights=weights)
        drawn = [loader(dict(row))["text"] for _ in range(600)]
        return [drawn.count(text) / 600 for text in ("one", "two", "three")]

    np.testing.assert_allclose(share(), [1 / 3] * 3, atol=0.07)
    np.testing.assert_allclose(share(b=2), [0.25, 0.25, 0.5], atol=0.07)
    assert share(b=0)[2] == 0
    np.testing.assert_allclose(share(a=0, b=0), [1 / 3] * 3, atol=0.07)


def test_evaluation_takes_the_first_sentence_of_a_source(row):
    row.update(texts=["one", "two", "three"], text_sources=["a", "b", "b"], text_features=np.eye(3).tolist())
    assert LoadDepthInputs(source="b")(dict(row))["text"] == "two"
    assert LoadDepthInputs(source="c")(dict(row))["text"] == "one"
    assert LoadDepthInputs()(dict(row))["text"] == "one"


def test_pictures_can_be_stretched_with_aligned_corners(row):
    loaded = LoadDepthInputs()(dict(row))
    found = ResizeDepthInputs(aligned=True)(dict(loaded))["img"]
    assert found.dtype == np.float32
    for corner in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        np.testing.assert_allclose(found[corner], loaded["img"][corner], atol=1e-3)
    assert ResizeDepthInputs()(dict(loaded))["img"].dtype == np.uint8
