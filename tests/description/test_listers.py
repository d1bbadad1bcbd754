"""Object lists from segmentation networks of the real classes, small."""

import numpy as np
import pytest
import torch
import transformers as hf

from tests.support.maskdino import original
from tr2m_plugin.description.listers import (
    MaskDinoLister,
    ObjectLister,
    Objects,
    TransformersLister,
    clean_label,
    shortest_edge,
)
from tr2m_plugin.description.maskdino import COCO_PANOPTIC
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import IndexRow


def picture(height=90, width=120):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(480, 640, (800, 1067)), (375, 1242, (402, 1333)), (640, 480, (1067, 800)), (800, 800, (800, 800))],
)
def test_sizes(height, width, expected):
    assert shortest_edge(height, width, 800, 1333) == expected


@pytest.mark.parametrize(
    ("name", "label"), [("wall-other-merged", "wall"), ("traffic light", "traffic light"), ("door-stuff", "door")]
)
def test_labels(name, label):
    assert clean_label(name) == label


@pytest.fixture(scope="module")
def maskdino(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("maskdino") / "tiny_panoptic.pth"
    torch.save({"model": original(data, "r50")}, path)
    return path


@pytest.fixture(scope="module")
def mask2former(tmp_path_factory):
    torch.manual_seed(0)
    backbone = hf.SwinConfig(
        embed_dim=16,
        depths=[1] * 4,
        num_heads=[1, 2, 4, 8],
        window_size=4,
        out_features=[f"stage{i}" for i in range(1, 5)],
    )
    names = {0: "person", 1: "wall-other-merged", 2: "traffic light"}
    config = hf.Mask2FormerConfig(
        backbone_config=backbone,
        hidden_dim=32,
        feature_size=32,
        mask_feature_size=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_feedforward_dim=32,
        dim_feedforward=32,
        num_attention_heads=2,
        num_queries=12,
        id2label=names,
        label2id={label: number for number, label in names.items()},
    )
    folder = tmp_path_factory.mktemp("mask2former")
    hf.Mask2FormerForUniversalSegmentation(config).save_pretrained(folder)
    hf.Mask2FormerImageProcessor(size={"shortest_edge": 64, "longest_edge": 128}).save_pretrained(folder)
    return str(folder)


def rows_of(*names):
    """Rows of the index, as far as describers that look at pictures need them."""
    return [IndexRow(dataset="d", sample_id=name, split="train", image=f"{name}.jpg") for name in names]


def check(lister, image):
    found = lister.objects(image)
    assert found.map.shape == image.shape[:2]
    assert found.map.dtype == np.int32
    assert set(np.unique(found.map)) <= set(range(len(found.labels) + 1))
    for number, area in enumerate(found.areas, 1):
        assert area == pytest.approx((found.map == number).mean(), abs=1e-6)
    rows = lister.describe(rows_of("a", "b"), [image, image])
    assert [(row.sample_id, row.variant) for row in rows] == [(s, v) for s in "ab" for v in range(5)]
    assert {row.dataset for row in rows} == {"d"}
    assert rows == lister.describe(rows_of("a", "b"), [image, image])
    assert all(row.text.startswith("An image") for row in rows)
    return found, rows


def test_maskdino(maskdino, data):
    """On the golden picture at its own size, the authors' network found one segment of class 125."""
    golden = np.load(data / "maskdino" / "tiny_r50_panoptic_compact.npz")
    image = golden["image_rgb_uint8"].transpose(1, 2, 0)
    found, rows = check(MaskDinoLister(maskdino, size=100, num_queries=20, device="cpu"), image)
    assert found.labels == [clean_label(COCO_PANOPTIC[125])]
    assert 0 < found.areas[0] < 0.1
    assert rows[0].source == "maskdino"
    assert rows[0].model == "tiny_panoptic.pth"
    smaller, _ = check(MaskDinoLister(maskdino, size=64, num_queries=20, device="cpu"), picture())
    assert smaller.map.shape == (90, 120)


@pytest.mark.parametrize("task", ["panoptic", "instance"])
def test_a_model_of_transformers(mask2former, task):
    lister = TransformersLister(mask2former, task=task, threshold=0.0, device="cpu")
    found, rows = check(lister, picture())
    assert set(found.labels) <= {"person", "wall", "traffic light"}
    assert rows[0].source == "mask2former"


@pytest.mark.parametrize("kind", ["maskdino", "mask2former"])
def test_half_precision(maskdino, mask2former, kind):
    options = {"device": "cpu", "dtype": "bfloat16"}
    if kind == "maskdino":
        lister = MaskDinoLister(maskdino, size=64, num_queries=20, **options)
    else:
        lister = TransformersLister(mask2former, threshold=0.0, **options)
    assert lister.objects(picture()).map.shape == (90, 120)


class Found(ObjectLister):
    def objects(self, image):
        return Objects(["traffic light", "traffic light", "oven"], [0.1] * 3, np.zeros((1, 1), np.int32))


def test_style_and_seed():
    rsa = Found("found", "m", style="rsa").describe(rows_of("a"), [None])
    plain = Found("found", "m").describe(rows_of("a"), [None])
    assert "two traffics" in rsa[0].text
    assert "two traffic lights" in plain[0].text
    orders = [
        [row.text for row in Found("found", "m", seed=s).describe(rows_of(i), [None])] for s in (0, 1) for i in "ab"
    ]
    assert len({tuple(order) for order in orders}) > 1


def test_errors(data, mask2former):
    with pytest.raises(InputError, match="'panoptic' or 'instance', not 'semantic'"):
        TransformersLister(mask2former, task="semantic")
    state = original(data, "r50")
    few = {name: value[:80] if "class_embed" in name else value for name, value in state.items()}
    with pytest.raises(InputError, match="knows 80 classes: give a panoptic model"):
        MaskDinoLister(few, device="cpu")
