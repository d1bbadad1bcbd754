"""Joining masks to a panoptic map, against a slow twin and against what the authors' code gave."""

import json

import numpy as np
import pytest
import torch

from tr2m_plugin.description.maskdino import COCO_PANOPTIC, THINGS, panoptic_segments


def twin(logits, masks, object_mask_threshold, overlap_threshold, temperature):
    """The authors' rule, query by query and pixel by pixel."""
    scores = 1 / (1 + np.exp(-logits))
    masks = 1 / (1 + np.exp(-masks))
    kept = []
    for score, mask in zip(scores, masks, strict=True):
        if score.max() <= object_mask_threshold:
            continue
        if temperature:
            score = np.exp(score / temperature - (score / temperature).max())
            score = score / score.sum()
        kept.append((score.max(), int(score.argmax()), mask))
    found = np.zeros(masks.shape[1:], int)
    segments, stuff = [], {}
    if not kept:
        return found, segments
    owner = np.array(
        [[max(range(len(kept)), key=lambda k: kept[k][0] * kept[k][2][y, x]) for x in range(found.shape[1])]
         for y in range(found.shape[0])]
    )  # fmt: skip
    for number, (_, label, mask) in enumerate(kept):
        own, whole = (owner == number).sum(), (mask >= 0.5).sum()
        pixels = (owner == number) & (mask >= 0.5)
        if not own or not whole or not pixels.sum() or own / whole < overlap_threshold:
            continue
        if label >= 80 and label in stuff:
            found[pixels] = stuff[label]
            continue
        segments.append((len(segments) + 1, label, label < 80))
        found[pixels] = len(segments)
        if label >= 80:
            stuff[label] = len(segments)
    return found, segments


@pytest.mark.parametrize(("object_mask", "overlap", "temperature"), [(0.25, 0.8, 0.06), (0.5, 0.4, None), (0, 0, 0.06)])
def test_equals_the_rule_pixel_by_pixel(object_mask, overlap, temperature):
    rng = np.random.default_rng(0)
    logits = rng.normal(-4, 1, (14, 133))
    logits[np.arange(14), [0, 0, 3, 56, 90, 90, 90, 100, 100, 5, 7, 131, 131, 60]] = rng.normal(2, 2, 14)
    y, x = np.mgrid[:24, :32]
    centres = rng.uniform(0, 24, (14, 2))
    masks = np.stack([6 - np.hypot(y - a, x - b * 1.3) + rng.normal(0, 1, y.shape) for a, b in centres])
    outputs = {"pred_logits": torch.from_numpy(logits)[None], "pred_masks": torch.from_numpy(masks)[None]}
    found, segments = panoptic_segments(outputs, (24, 32), object_mask, overlap, temperature)
    expected, listed = twin(logits, masks, object_mask, overlap, temperature)
    np.testing.assert_array_equal(found, expected)
    assert [(s.id, s.category, s.is_thing) for s in segments] == listed
    assert len(listed) > 2
    for segment in segments:
        assert segment.area == pytest.approx((expected == segment.id).mean())


@pytest.mark.parametrize("case", range(4))
def test_the_authors_segments(data, case):
    """Sixty crafted queries, whose masks are kept in steps of 1/8: a few pixels at borders may fall otherwise."""
    golden = np.load(data / "maskdino" / "postprocess.npz")
    overlap, object_mask, transformed = golden[f"cfg{case}"].tolist()
    outputs = {
        "pred_logits": torch.from_numpy(golden["mask_cls"]),
        "pred_masks": torch.from_numpy(golden["mask_pred"] / np.float32(8)),
    }
    found, segments = panoptic_segments(outputs, (96, 128), object_mask, overlap, 0.06 if transformed else None)
    expected = json.loads(bytes(golden[f"info{case}"]))
    assert [(s.id, s.category, s.is_thing) for s in segments] == [
        (s["id"], s["category_id"], bool(s["isthing"])) for s in expected
    ]
    assert (found.numpy() != golden[f"seg{case}"]).mean() < 0.01


def test_nothing_found():
    outputs = {"pred_logits": torch.full((1, 5, 133), -9.0), "pred_masks": torch.zeros(1, 5, 8, 8)}
    found, segments = panoptic_segments(outputs, (8, 8))
    assert not found.any()
    assert segments == []


def test_masks_lose_their_padding():
    """A mask of the left half of a 32 × 40 picture, predicted on 32 × 64 at a quarter of the size."""
    masks = torch.full((1, 1, 8, 16), -9.0)
    masks[..., :5] = 9
    logits = torch.full((1, 1, 133), -9.0)
    logits[..., 0] = 9
    outputs = {"pred_logits": logits, "pred_masks": masks, "image_size": (32, 40)}
    found, (segment,) = panoptic_segments(outputs, (64, 80))
    assert segment.area == pytest.approx(0.5, abs=0.02)
    assert found[:, :38].all()
    assert not found[:, 42:].any()


def test_classes():
    assert len(COCO_PANOPTIC) == len(set(COCO_PANOPTIC)) == 133
    assert (COCO_PANOPTIC[0], COCO_PANOPTIC[79], COCO_PANOPTIC[80]) == ("person", "toothbrush", "banner")
    assert set(range(80)) == THINGS
