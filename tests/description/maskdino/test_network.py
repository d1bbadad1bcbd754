"""MaskDINO against what the authors' network gave for weights that are a function of their names."""

import json

import numpy as np
import pytest
import torch
import transformers

from tests.support.maskdino import original
from tr2m_plugin.description.maskdino import MaskDino, load_maskdino, panoptic_segments
from tr2m_plugin.description.maskdino.network import Sizes
from tr2m_plugin.errors import InputError, UnsafeCheckpointError


@pytest.fixture(scope="module", params=["r50", "swin"])
def case(request, data):
    return original(data, request.param), np.load(data / "maskdino" / f"tiny_{request.param}_panoptic_compact.npz")


def test_it_gives_the_authors_numbers(case):
    state, golden = case
    model = load_maskdino(state, num_queries=20)
    found = model(torch.from_numpy(golden["image_rgb_uint8"]))
    for name, atol in (("pred_logits", 1e-4), ("pred_boxes", 1e-5), ("pred_masks", 2e-4)):
        np.testing.assert_allclose(found[name], golden[f"pred.{name}"], atol=atol, rtol=0)
    for name, atol in (("pred_logits", 1e-4), ("pred_boxes", 1e-5)):
        np.testing.assert_allclose(found["first"][name], golden[f"interm.{name}"], atol=atol, rtol=0)
    panoptic, segments = panoptic_segments(found, tuple(golden["orig_hw"].tolist()))
    np.testing.assert_array_equal(panoptic, golden["panoptic_seg"])
    expected = [(s["id"], s["category_id"], s["isthing"]) for s in json.loads(bytes(golden["segments_info"]))]
    assert [(s.id, s.category, s.is_thing) for s in segments] == expected


def test_sizes_are_inferred_from_the_shapes(case):
    state, _ = case
    sizes = load_maskdino(state).sizes
    swin = "backbone.patch_embed.proj.weight" in state
    assert (sizes.features, sizes.levels, sizes.fine_first) == ((4, 5, True) if swin else (3, 4, True))
    assert (sizes.classes, sizes.heads, sizes.encoder_layers, sizes.decoder_layers) == (133, 8, 2, 2)


STAGES = ["stage1", "stage2", "stage3", "stage4"]


@pytest.mark.parametrize("kind", ["r50", "swinl"])
def test_the_published_models_have_as_many_parameters(kind):
    """Counted with the label embedding that only training needs, and with R50's normalisation frozen."""
    with torch.device("meta"):
        if kind == "r50":
            sizes = Sizes((256, 512, 1024, 2048), 3, 4, True, 256, 133, 256, 8, 6, 9, 2048, 2048)
            encoder = transformers.ResNetBackbone(transformers.ResNetConfig(out_features=STAGES))
        else:
            sizes = Sizes((192, 384, 768, 1536), 4, 5, True, 256, 133, 256, 8, 6, 9, 2048, 2048)
            options = {"embed_dim": 192, "depths": [2, 2, 18, 2], "num_heads": [6, 12, 24, 48], "window_size": 12}
            encoder = transformers.SwinBackbone(transformers.SwinConfig(**options, out_features=STAGES))
            encoder.swin.layernorm = torch.nn.Identity()
        model = MaskDino(encoder, sizes)
    counted = [p.numel() for name, p in model.named_parameters() if ".normalization." not in name]
    assert sum(counted) + 133 * 256 == {"r50": 52_085_193, "swinl": 222_826_333}[kind]


def instance_model(state, coarse_first):
    """A checkpoint as of an instance model with three levels and 80 classes, in either order of levels."""
    out = {}
    prefix = "sem_seg_head.pixel_decoder.input_proj."
    for name, value in state.items():
        if name.startswith(f"{prefix}3."):
            continue
        if coarse_first and name.startswith(prefix):
            number = name.removeprefix(prefix)[0]
            name = name.replace(f"{prefix}{number}", f"{prefix}{2 - int(number)}")
        if "level_embed" in name:
            value = value[:3]
        if "sampling_offsets" in name or "attention_weights" in name:
            value = value[: len(value) * 3 // 4]
        if "class_embed" in name or "label_enc" in name:
            value = value[:80]
        out[name] = value
    return out


@pytest.mark.parametrize("coarse_first", [False, True])
@pytest.mark.parametrize("box_init", ["no", "mask2box", "bitmask"])
def test_other_configurations_build_from_their_shapes(data, coarse_first, box_init):
    state = instance_model(original(data, "r50"), coarse_first)
    model = load_maskdino(state, num_queries=12, box_init=box_init)
    assert (model.sizes.levels, model.sizes.features, model.sizes.classes) == (3, 3, 80)
    assert model.sizes.fine_first is not coarse_first
    found = model(torch.randint(0, 256, (3, 90, 70), generator=torch.Generator().manual_seed(0)))
    assert found["pred_masks"].shape == (1, 12, 24, 24)
    assert all(torch.isfinite(found[name]).all() for name in ("pred_logits", "pred_boxes", "pred_masks"))


@pytest.mark.parametrize(("kind", "past"), [("mask2box", 0), ("bitmask", 1)])
def test_boxes_of_masks(kind, past):
    from tr2m_plugin.description.maskdino.network import _bounding_boxes

    masks = torch.zeros(1, 2, 10, 20, dtype=torch.bool)
    masks[0, 0, 2:5, 4:9] = True
    ((box, empty),) = _bounding_boxes(masks, kind)
    left, top, right, bottom = 4, 2, 8 + past, 4 + past
    expected = [(left + right) / 40, (top + bottom) / 20, (right - left) / 20, (bottom - top) / 10]
    np.testing.assert_allclose(box, expected, rtol=1e-6)
    if kind == "bitmask":
        assert not empty.any()
    else:
        assert empty[0] > 1e6, "an empty mask's corner lies far outside, as in the authors' code"


def test_what_does_not_fit_is_named(data, tmp_path):
    state = original(data, "r50")
    torch.save({"model": state}, tmp_path / "maskdino.pth")
    assert load_maskdino(tmp_path / "maskdino.pth").sizes.classes == 133
    torch.save({"model": {k: v for k, v in state.items() if "mask_features" not in k}}, tmp_path / "part.pth")
    with pytest.raises(InputError, match=r"part.pth is no MaskDINO checkpoint.*lacks pixel_decoder\.mask_features"):
        load_maskdino(tmp_path / "part.pth")
    fewer = {k: v for k, v in state.items() if "decoder_norm.bias" not in k}
    with pytest.raises(InputError, match=r"1 of 443 tensors are missing \(predictor.decoder_norm.bias\)"):
        load_maskdino(fewer)
    with pytest.raises(InputError, match="1 tensors are left over"):
        load_maskdino({**state, "sem_seg_head.predictor.query_feat.weight": torch.zeros(2)})
    with pytest.raises(InputError, match="box_init must be"):
        load_maskdino(state, box_init="yes")

    class Code:
        def __reduce__(self):
            return print, ("ran",)

    torch.save({"model": Code()}, tmp_path / "code.pth")
    with pytest.raises(UnsafeCheckpointError):
        load_maskdino(tmp_path / "code.pth")


@pytest.mark.parametrize("shape", [(), (3,), (10**6, 10**6)])
def test_crafted_shapes_are_a_line_and_take_no_memory(data, shape):
    """Tensors that tell sizes claim more than they hold, or have no such dimension."""
    state = original(data, "r50")
    told = [name for name in state if name.endswith(("query_feat.weight", "class_embed.weight", "stem.conv1.weight"))]
    assert told
    for name in told:
        with pytest.raises(InputError):
            load_maskdino({**state, name: torch.zeros(()).expand(shape)}, 20)
