"""Depth models of every kind behind one interface, small networks of the very classes, saved as users save them."""

import json
import math

import numpy as np
import pytest
import torch
import transformers as hf
from safetensors.torch import save_file
from torch.nn import functional as F

from tests.support import tiny_networks
from tr2m_plugin.benchmark.estimators import Returns, open_estimator
from tr2m_plugin.checkpoint import state_hash
from tr2m_plugin.errors import InputError
from tr2m_plugin.inference.inferencer import TR2MInferencer
from tr2m_plugin.inference.model_folder import load_spec, save_model
from tr2m_plugin.models import NeWCRFs
from tr2m_plugin.models.frozen.depth_network import DepthNetwork
from tr2m_plugin.registry import MODELS, scoped


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, size, np.uint8) for size in ((70, 90, 3), (70, 90, 3), (64, 120, 3))]


def save(network, processor, folder):
    torch.manual_seed(0)
    network.save_pretrained(folder)
    if processor is not None:
        processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def glpn(tmp_path_factory):
    return save(tiny_networks.glpn(), hf.GLPNImageProcessor(), tmp_path_factory.mktemp("glpn"))


@pytest.fixture(scope="module")
def zoedepth(tmp_path_factory):
    processor = hf.ZoeDepthImageProcessor(size={"height": 64, "width": 96})
    return save(tiny_networks.zoedepth(), processor, tmp_path_factory.mktemp("zoedepth"))


@pytest.fixture(scope="module")
def depth_pro(tmp_path_factory):
    vit = {
        "model_type": "dinov2",
        "hidden_size": 16,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
        "mlp_ratio": 2,
    }
    config = hf.DepthProConfig(
        patch_size=32,
        fusion_hidden_size=16,
        intermediate_hook_ids=[2, 1],
        intermediate_feature_dims=[8, 8],
        scaled_images_ratios=[0.5, 1.0],
        scaled_images_overlap_ratios=[0.0, 0.25],
        scaled_images_feature_dims=[16, 16],
        image_model_config=vit,
        patch_model_config=vit,
        fov_model_config=vit,
        use_fov_model=True,
    )
    torch.manual_seed(0)
    folder = save(hf.DepthProForDepthEstimation(config), None, tmp_path_factory.mktemp("depth_pro"))
    settings = {"image_processor_type": "DepthProImageProcessor", "size": {"height": 64, "width": 64}}
    (folder / "preprocessor_config.json").write_text(
        json.dumps({**settings, "image_mean": [0.5] * 3, "image_std": [0.5] * 3})
    )
    return folder


@pytest.fixture(scope="module")
def metric_anything(depth_anything, tmp_path_factory):
    folder = tmp_path_factory.mktemp("metric_anything")
    config = hf.DepthAnythingConfig.from_pretrained(depth_anything)
    config.depth_estimation_type, config.max_depth = "metric", 20
    network = hf.DepthAnythingForDepthEstimation(config)
    return save(network, hf.DPTImageProcessor.from_pretrained(depth_anything), folder)


@pytest.mark.parametrize("name", ["glpn", "zoedepth", "depth_pro", "metric_anything"])
def test_metric_networks_return_metres(name, pictures, request):
    folder = request.getfixturevalue(name)
    estimator = open_estimator(folder, device="cpu")
    assert estimator.returns == Returns("depth", metric=True, unit="m")
    assert not estimator.needs_text
    found = estimator.predict(pictures, [])
    assert len(found) == 3
    alone = [estimator.predict([picture], [])[0] for picture in pictures]
    for picture, together, single in zip(pictures, found, alone, strict=True):
        assert together.ndim == 2
        assert np.isfinite(together).all()
        np.testing.assert_allclose(together, single, rtol=1e-4, atol=1e-5)
        assert abs(math.log(together.shape[1] / together.shape[0] / (picture.shape[1] / picture.shape[0]))) < 0.7
    assert estimator.facts.about["type"] == "I → M"
    assert len(estimator.facts.weights) == 12


def test_zoedepths_margin_is_taken_off(zoedepth, pictures):
    network = DepthNetwork(str(zoedepth))
    picture = pictures[0]
    pixels = network.preprocess.processor(images=[picture], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        raw = network.network(pixels).predicted_depth
    tall, wide = (int(math.sqrt(side / 2) * 3) for side in picture.shape[:2])
    padded = F.interpolate(raw[None], (70 + 2 * tall, 90 + 2 * wide), mode="bicubic", align_corners=False)[0, 0]
    (found,) = network.predict([picture])
    torch.testing.assert_close(found, padded[tall:-tall, wide:-wide])
    assert found.shape == (70, 90)


def test_depth_pros_metres_follow_its_field_of_view(depth_pro, pictures):
    network = DepthNetwork(str(depth_pro))
    picture = pictures[2]
    unit = torch.from_numpy(picture.transpose(2, 0, 1)[None] / 255).float()
    pixels = F.interpolate((unit - 0.5) / 0.5, (64, 64), mode="bilinear", align_corners=False)
    with torch.no_grad():
        out = network.network(pixels)
    width = picture.shape[1]
    focal = 0.5 * width / math.tan(0.5 * math.radians(float(out.field_of_view)))
    expected = 1 / (out.predicted_depth[0] * width / focal).clamp(1e-4, 1e4)
    torch.testing.assert_close(network.predict([picture])[0], expected, rtol=1e-4, atol=1e-4)


def test_relative_networks_return_disparity_of_unknown_scale(depth_anything, pictures):
    estimator = open_estimator(depth_anything, device="cpu")
    assert estimator.returns == Returns("disparity", metric=False)
    sized = estimator.predict(pictures, [], (56, 70))
    assert [depth.shape for depth in sized] == [(56, 70)] * 3
    own = estimator.predict(pictures, [])
    assert own[0].shape != own[2].shape, "each at the network's own size for it"


def test_the_releases_way_of_stretching(depth_anything, pictures):
    estimator = open_estimator(depth_anything, device="cpu")
    image = torch.from_numpy(pictures[0].transpose(2, 0, 1)[None]).float()
    resized = F.interpolate(image, (56, 70), mode="bilinear", align_corners=True) / 255
    mean, std = ([v[0], v[1], v[2]] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    processor = estimator.network.preprocess.processor
    assert (list(processor.image_mean), list(processor.image_std)) in ((mean, std), ([0.5] * 3, [0.5] * 3))
    normal = (resized - torch.tensor(processor.image_mean).view(3, 1, 1)) / torch.tensor(processor.image_std).view(
        3, 1, 1
    )
    with torch.no_grad():
        expected = estimator.network.network(normal).predicted_depth[0].numpy()
    (found,) = estimator.predict(pictures[:1], [], (56, 70))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_tr2m_takes_sentences_and_returns_the_datasets_unit(pictures):
    estimator = open_estimator("tr2m_mini", device="cpu")
    assert estimator.needs_text
    assert estimator.returns == Returns("depth", metric=True)
    (found,) = estimator.predict(pictures[:1], ["a kitchen"], (112, 140))
    assert found.shape == (112, 140)
    (other,) = estimator.predict(pictures[:1], ["an endoscopic view of the colon"], (112, 140))
    assert not np.allclose(found, other)
    expected = TR2MInferencer("tr2m_mini", device="cpu", show_progress=False)(pictures[0], "a kitchen")[0].depth
    assert estimator.facts.about["scaling"] == "Rescale maps"
    resized = F.interpolate(torch.from_numpy(found)[None, None], (70, 90), mode="bilinear", align_corners=True)[0, 0]
    np.testing.assert_allclose(resized, expected, rtol=1e-4)


def test_rsa_is_tr2m_with_factors(tmp_path, pictures):
    spec = load_spec("tr2m_mini")
    factors = {"type": "RescaleFactors", "text_channels": 160}
    spec.model = {**spec.model, "rescale_net": factors, "loss_pseudo": None, "loss_smooth": None}
    torch.manual_seed(0)
    save_model(tmp_path / "rsa", spec, MODELS.build(scoped(spec.model)).state_dict())
    estimator = open_estimator(tmp_path / "rsa", device="cpu")
    assert estimator.facts.label == "RSA (rsa)"
    assert estimator.facts.about["scaling"] == "Rescale factors"
    assert estimator.predict(pictures[:1], ["a kitchen"])[0].shape == (112, 140)


def test_an_mmengine_config_with_a_checkpoint(tmp_path, pictures):
    torch.manual_seed(0)
    model = NeWCRFs(version="mini07", max_depth=10.0)
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    config = tmp_path / "crf.py"
    preprocessor = {"type": "mmengine.ImgDataPreprocessor", "mean": [124, 116, 104], "std": [58, 57, 57]}
    spec = {"type": "NeWCRFs", "version": "mini07", "max_depth": 10.0, "flip_average": True}
    config.write_text(f"model = { ({**spec, 'data_preprocessor': preprocessor})!r}\n")
    image = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    estimator = open_estimator(config, str(tmp_path / "weights.safetensors"), "cpu")
    assert estimator.returns == Returns("depth", metric=True)
    (found,) = estimator.predict([image], [])
    pixels = (torch.from_numpy(image.transpose(2, 0, 1)).float() - torch.tensor(preprocessor["mean"]).view(3, 1, 1)) / (
        torch.tensor(preprocessor["std"]).view(3, 1, 1)
    )
    with torch.no_grad():
        expected = model.eval().estimate(pixels[None])[0, 0].numpy()
    np.testing.assert_allclose(
        found, expected, rtol=1e-4, err_msg="the protocol averages with the mirror image, not it"
    )
    with pytest.raises(InputError, match="give the weights of a checkpoint"):
        open_estimator(config)
    other = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(1)}, other)
    with pytest.raises(InputError, match=r"crf.py: .*other.safetensors does not fit"):
        open_estimator(config, str(other), "cpu")


def test_what_a_model_returns_can_be_said(depth_anything, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    said = Returns("depth", metric=True, unit="mm")
    assert open_estimator(depth_anything, device="cpu", returns=said).returns == said
    with pytest.raises(InputError, match="no AutoConfig found at 'nowhere/nothing'"):
        open_estimator("nowhere/nothing")
    with pytest.raises(InputError, match="space must be"):
        Returns("metres", metric=True)


def test_numbers_become_depth_in_the_datasets_unit():
    values = np.array([[2.0, 0.5]], np.float32)
    np.testing.assert_allclose(Returns("depth", True, "m").depth(values, "mm"), [[2000, 500]])
    np.testing.assert_allclose(Returns("depth", True, "mm").depth(values, "m"), [[0.002, 0.0005]])
    np.testing.assert_allclose(Returns("depth", True).depth(values, "mm"), values)
    inverse = Returns("disparity", True, "m").depth(np.array([[2.0, 0.0, -1.0]], np.float32), "m")
    np.testing.assert_allclose(inverse, [[0.5, np.inf, np.inf]])


def test_a_hash_of_the_weights():
    torch.manual_seed(0)
    one, two = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    assert state_hash(one) == state_hash(one) != state_hash(two)
    two.load_state_dict(one.state_dict())
    assert state_hash(one) == state_hash(two)
    assert state_hash(two.to(torch.bfloat16)) != state_hash(one)
