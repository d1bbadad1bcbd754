import copy
import json
import math
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, CLIPTextModelWithProjection, DepthAnythingForDepthEstimation, Dinov2Model

from tr2m_plugin.errors import InputError
from tr2m_plugin.models import CLIPTextEncoder, DINOv2Encoder, RelativeDepth
from tr2m_plugin.models.frozen import encoders
from tr2m_plugin.weights import resolve_pretrained


def test_patch_tokens_are_the_last_layers_after_the_norm_row_by_row(dinov2):
    encoder = DINOv2Encoder(str(dinov2), position_offset=0.0)
    image = torch.randn(2, 3, 56, 84)
    with torch.no_grad():
        whole = Dinov2Model.from_pretrained(dinov2)(image).last_hidden_state
    tokens = encoder(image)
    torch.testing.assert_close(tokens, whole[:, 1:])
    assert tokens.shape == (2, 4 * 6, 32)
    assert (encoder.channels, encoder.patch_size) == (32, 14)


def bicubic(line, length, factor):
    """A line resampled by a factor, slowly: cubic convolution with a = -0.75, edges repeated, as torch has it."""

    def weight(x):
        x = abs(x)
        if x <= 1:
            return 1.25 * x**3 - 2.25 * x**2 + 1
        return -0.75 * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0

    result = []
    for i in range(length):
        at = (i + 0.5) / factor - 0.5
        near = range(math.floor(at) - 1, math.floor(at) + 3)
        result.append(sum(weight(at - j) * line[min(max(j, 0), len(line) - 1)] for j in near))
    return np.array(result)


@pytest.mark.parametrize(("height", "width"), [(434, 560), (350, 1204), (56, 84)])
def test_position_embeddings_lie_where_the_original_has_them(dinov2, height, width):
    """facebookresearch/dinov2 resamples by (patches + 0.1) / side; transformers by patches / side."""
    network = DINOv2Encoder(str(dinov2)).network.embeddings
    rows, columns, own = height // 14, width // 14, network.position_embeddings.double().numpy()[0]
    side = int((len(own) - 1) ** 0.5)
    found = network.interpolate_pos_encoding(torch.zeros(1, 1 + rows * columns, 32), height, width)[0].double().numpy()
    grid = own[1:, 0].reshape(side, side)
    tall = np.stack([bicubic(column, rows, (rows + 0.1) / side) for column in grid.T], 1)
    slow = np.stack([bicubic(row, columns, (columns + 0.1) / side) for row in tall])
    np.testing.assert_allclose(found[1:, 0].reshape(rows, columns), slow, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found[0], own[0])
    plain = Dinov2Model.from_pretrained(dinov2).embeddings
    other = plain.interpolate_pos_encoding(torch.zeros(1, 1 + rows * columns, 32), height, width)[0, 1:, 0]
    assert np.abs(other.detach().numpy().reshape(rows, columns) - slow).max() > 1e-4


def test_tokens_follow_their_patches(dinov2):
    """Changing a patch moves its own token more than any other."""
    encoder = DINOv2Encoder(str(dinov2))
    image = torch.zeros(1, 3, 56, 84)
    changed = image.clone()
    changed[:, :, 14:28, 42:56] += 3  # row 1, column 3
    moved = (encoder(changed) - encoder(image)).norm(dim=-1)[0]
    assert moved.argmax().item() == 1 * 6 + 3


def test_the_backbone_of_a_depth_network_serves_as_encoder(depth_anything):
    image = torch.randn(1, 3, 56, 70)
    with torch.no_grad():
        maps = DepthAnythingForDepthEstimation.from_pretrained(depth_anything).backbone(image).feature_maps
    torch.testing.assert_close(DINOv2Encoder(str(depth_anything))(image), maps[-1][:, 1:])


def test_odd_sizes_are_refused(dinov2):
    with pytest.raises(InputError, match=r"60 × 84 does not divide into 14-pixel patches: .* such as 56 × 84"):
        DINOv2Encoder(str(dinov2))(torch.zeros(1, 3, 60, 84))


def test_text_embedding_is_the_projected_one_whatever_the_padding(clip_text):
    encoder = CLIPTextEncoder(str(clip_text))
    short, long = "a small room", "a very long hall"
    batch = encoder([short, long])
    assert batch.shape == (2, 1, 24)
    torch.testing.assert_close(batch[0], encoder([short])[0], rtol=1e-4, atol=1e-6)
    tokens = AutoTokenizer.from_pretrained(clip_text)([short], return_tensors="pt")
    with torch.no_grad():
        network = CLIPTextModelWithProjection.from_pretrained(clip_text)
        expected = network(input_ids=tokens["input_ids"]).text_embeds
    torch.testing.assert_close(batch[0], expected, rtol=1e-4, atol=1e-6)


def test_long_text_is_cut(clip_text):
    encoder = CLIPTextEncoder(str(clip_text))
    assert encoder.max_length == 32
    assert torch.isfinite(encoder(["word " * 300])).all()
    torch.testing.assert_close(encoder(["word  " * 400_000]), encoder(["word " * 300]))


def test_frozen_networks_stay_out_of_checkpoints_optimizers_and_copies_but_follow_the_device(dinov2):
    encoder = DINOv2Encoder(str(dinov2))
    holder = torch.nn.ModuleDict({"encoder": encoder, "head": torch.nn.Linear(2, 2)})
    assert set(holder.state_dict()) == {"head.weight", "head.bias"}
    assert len(list(holder.parameters())) == 2
    assert copy.deepcopy(holder)["encoder"].network is encoder.network
    holder.train()
    assert not encoder.network.training
    assert not any(p.requires_grad for p in encoder.network.parameters())
    holder.to(torch.float64)
    assert encoder.network.dtype == torch.float64


def test_precision_is_configurable(dinov2):
    encoder = DINOv2Encoder(str(dinov2), dtype="bfloat16")
    assert encoder.network.dtype == torch.bfloat16
    assert encoder(torch.zeros(1, 3, 28, 28)).dtype == torch.float32


@pytest.mark.parametrize("name", ["int8", "fast"])
def test_unknown_precisions_are_named(dinov2, name):
    with pytest.raises(InputError, match=f"dtype must be float32, float16 or bfloat16, not '{name}'"):
        DINOv2Encoder(str(dinov2), dtype=name)


def test_another_network_is_not_taken_for_the_image_encoder(clip_text):
    with pytest.raises(InputError, match=r"holds a clip_text_model, not a dinov2"):
        DINOv2Encoder(str(clip_text))


def test_device_and_revision_are_passed_on(dinov2, monkeypatch):
    asked = []
    original = encoders.load_pretrained

    def recorded(class_name, pretrained, **kwargs):
        asked.append((class_name, kwargs["revision"]))
        return original(class_name, pretrained, **kwargs)

    monkeypatch.setattr(encoders, "load_pretrained", recorded)
    encoder = DINOv2Encoder(str(dinov2), revision="abc", device="meta")
    assert asked == [("AutoConfig", "abc"), ("Dinov2Model", "abc")]
    assert encoder.network.device.type == "meta"


def test_weights_that_are_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match=r"no AutoConfig found at .*nowhere.*save_pretrained"):
        DINOv2Encoder(str(tmp_path / "nowhere"))


def crafted(tmp_path, source, files=None, **options):
    """A copy of a packaged network with other options in its config or its backbone's, and other files."""
    folder = shutil.copytree(resolve_pretrained(source), tmp_path / "network")
    content = json.loads((folder / "config.json").read_text())
    for name, value in options.items():
        (content["backbone_config"] if name in content.get("backbone_config", ()) else content)[name] = value
    (folder / "config.json").write_text(json.dumps(content))
    for name, text in (files or {}).items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"auto_map": {"AutoConfig": "own.C", "AutoModelForDepthEstimation": "own.M"}, "model_type": "own"},
            "holds no AutoModelForDepthEstimation",
        ),
        ({"_attn_implementation": "somebody/kernel"}, "_attn_implementation names the kernel 'somebody/kernel'"),
        ({"quantization_config": {"quant_method": "torchao"}}, "it is quantized"),
        ({"hidden_size": 12800}, "its weights are too few for the network of its config.json"),
        ({"hidden_size": 2**40}, "holds no AutoModelForDepthEstimation"),
        ({"num_hidden_layers": 40}, "its weights are too few for the network of its config.json"),
        ({"hidden_size": "wide"}, "expected int, got str"),
        ({"hidden_act": "os.system"}, "holds no AutoModelForDepthEstimation"),
        ({"num_attention_heads": 3}, "holds no AutoModelForDepthEstimation"),
    ],
)
def test_a_crafted_network_runs_nothing_and_takes_no_memory(tmp_path, options, message):
    mark = tmp_path / "it_ran"
    folder = crafted(tmp_path, "mini_depth_anything", {"own.py": f"open({str(mark)!r}, 'w')"}, **options)
    with pytest.raises(InputError, match=message) as caught:
        RelativeDepth(str(folder))
    assert "\n" not in str(caught.value)
    assert not mark.exists()


def test_code_beside_a_known_network_is_not_run(tmp_path):
    mark = tmp_path / "it_ran"
    code = {"own.py": f"open({str(mark)!r}, 'w')"}
    own = {"AutoConfig": "own.C", "AutoModelForDepthEstimation": "own.M", "AutoImageProcessor": "own.P"}
    RelativeDepth(str(crafted(tmp_path, "mini_depth_anything", code, auto_map=own)))
    tokenizer = json.dumps({"auto_map": {"AutoTokenizer": ["own.T", "own.T"]}, "tokenizer_class": "T"})
    shutil.rmtree(tmp_path / "network")
    with pytest.raises(InputError, match="holds no AutoTokenizer"):
        CLIPTextEncoder(str(crafted(tmp_path, "mini_clip_text", {**code, "tokenizer_config.json": tokenizer})))
    assert not mark.exists()


def test_tensors_that_are_missing_are_not_left_random(tmp_path):
    folder = crafted(tmp_path, "mini_depth_anything")
    weights = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in weights.items() if "layer.3.mlp" not in k}, folder / "model.safetensors")
    for network in (RelativeDepth, DINOv2Encoder):
        with pytest.raises(InputError, match=r"the weights of .* lack 4 of .*such as .*layer\.3\.mlp\.fc1"):
            network(str(folder))


class RunsCode:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return open, (self.mark, "w")


def test_pickled_weights_are_loaded_without_code_or_refused_in_a_line(tmp_path):
    folder = crafted(tmp_path, "mini_depth_anything")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save({**weights, "extra": RunsCode(str(tmp_path / "it_ran"))}, folder / "pytorch_model.bin")
    with pytest.raises(
        InputError, match=r"the pickled weights of .* are not loaded, .*save them as safetensors"
    ) as caught:
        RelativeDepth(str(folder))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "it_ran").exists()
    torch.save(weights, folder / "pytorch_model.bin")
    assert RelativeDepth(str(folder)).network.config.model_type == "depth_anything"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", ""),
        ("model.safetensors", "x" * 5_000_000),
        ("config.json", "["),
        ("config.json", "[" * 100_000),
        ("config.json", "[]"),
        ("preprocessor_config.json", "[]"),
        ("preprocessor_config.json", '{"image_processor_type": "pipeline"}'),
    ],
)
def test_broken_files_are_a_line(tmp_path, name, content):
    with pytest.raises(InputError, match=r"holds no Auto.*: give a folder saved by save_pretrained") as caught:
        RelativeDepth(str(crafted(tmp_path, "mini_depth_anything", {name: content})))
    assert "\n" not in str(caught.value)
