"""Depth networks of transformers' own classes, small, trained as MMEngine models."""

import copy

import numpy as np
import pytest
import torch
import transformers as hf
from mmengine.dataset import pseudo_collate
from mmengine.structures import PixelData
from torch.nn import functional as F

from tests.support.somebodys_model import HOOK, Pictures, Watch, run, soc
from tests.support.tiny_networks import dpt, dpt_hybrid, glpn, midas, zoedepth
from tr2m_plugin.errors import InputError
from tr2m_plugin.models import HFDepthModel
from tr2m_plugin.structures import DepthDataSample

SQUARE = {"size": {"height": 64, "width": 64}}
NETWORKS = {
    "dpt": (dpt, hf.DPTImageProcessor(**SQUARE)),
    "dpt_hybrid": (dpt_hybrid, hf.DPTImageProcessor(**SQUARE, image_mean=[0.5] * 3, image_std=[0.5] * 3)),
    "midas": (midas, hf.DPTImageProcessor(**SQUARE, image_mean=[0.5] * 3, image_std=[0.5] * 3)),
    "glpn": (glpn, hf.GLPNImageProcessor()),
    "zoedepth": (zoedepth, hf.ZoeDepthImageProcessor()),
}


@pytest.fixture(scope="module", params=[*NETWORKS, "depth_anything"])
def folder(request, tmp_path_factory, depth_anything):
    if request.param == "depth_anything":
        return depth_anything
    torch.manual_seed(0)
    build, processor = NETWORKS[request.param]
    path = tmp_path_factory.mktemp(request.param)
    build().save_pretrained(path)
    processor.save_pretrained(path)
    return path


def batch(size=(96, 128), count=2):
    generator = torch.Generator().manual_seed(0)
    samples = []
    for i in range(count):
        sample = DepthDataSample(metainfo={"sample_id": str(i)})
        sample.gt_depth_map = PixelData(data=torch.rand(1, *size, generator=generator) * 5 + 0.5)
        samples.append(sample)
    return {"inputs": torch.randint(0, 256, (count, 3, *size), generator=generator).unbind(), "data_samples": samples}


def test_it_trains_at_the_pictures_size(folder):
    """Every parameter that is trained gets a gradient, so that DistributedDataParallel needs no search for others."""
    torch.manual_seed(0)
    model = HFDepthModel(str(folder), output="disparity", max_depth=10)
    data = model.data_preprocessor(batch((90, 130)), True)
    assert model(data["inputs"]).shape == (2, 1, 90, 130)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1 and "bias" in name:
            torch.nn.init.uniform_(parameter, 0.1, 0.2)  # keeps random heads out of their ReLU's dead half
    model(**data, mode="loss")["loss_si"].backward()
    assert [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


def test_the_network_sees_what_its_own_processor_would_show(folder):
    """At the network's own input size, preprocessing and output are those of transformers."""
    model = HFDepthModel(str(folder)).eval()
    height, width = 70 if "depth_anything" in str(folder) else 64, 70 if "depth_anything" in str(folder) else 64
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    data = model.data_preprocessor({"inputs": [torch.from_numpy(pixels).permute(2, 0, 1)]}, False)
    processor = hf.AutoImageProcessor.from_pretrained(folder)
    expected = processor(images=pixels, return_tensors="pt", do_resize=False, do_pad=False)["pixel_values"]
    torch.testing.assert_close(data["inputs"], expected, atol=2e-6, rtol=1e-5)
    with torch.no_grad():
        raw = hf.AutoModelForDepthEstimation.from_pretrained(folder).eval()(expected).predicted_depth[:, None]
        torch.testing.assert_close(model(data["inputs"]), raw)
        inverse = HFDepthModel(str(folder), output="disparity", max_depth=50).eval()(data["inputs"])
        torch.testing.assert_close(inverse, 1 / raw.clamp(min=0.02))


def test_the_size_that_the_network_sees_can_be_set(depth_anything):
    model = HFDepthModel(str(depth_anything), size=(56, 84)).eval()
    images = torch.rand(1, 3, 112, 168)
    with torch.no_grad():
        small = F.interpolate(images, (56, 84), mode="bilinear", antialias=True)
        raw = model.network(small).predicted_depth[:, None]
        expected = F.interpolate(raw, (112, 168), mode="bilinear")
        torch.testing.assert_close(model(images), expected)


def test_prediction_averages_the_mirror_image(depth_anything):
    model = HFDepthModel(str(depth_anything), flip_average=True).eval()
    data = model.data_preprocessor(batch((70, 70)), False)
    with torch.no_grad():
        out = model(**data, mode="predict")
        both = [model(data["inputs"]), model(data["inputs"].flip(-1)).flip(-1)]
    found = torch.stack([sample.pred_depth_map.data for sample in out])
    torch.testing.assert_close(found, (both[0] + both[1]) / 2)
    assert not torch.equal(both[0], both[1])


def test_what_was_trained_is_saved_for_transformers(depth_anything, tmp_path):
    model = HFDepthModel(str(depth_anything)).eval()
    with torch.no_grad():
        model.network.head.conv3.bias.add_(1)
    model.network.save_pretrained(tmp_path)
    again = hf.AutoModelForDepthEstimation.from_pretrained(tmp_path).eval()
    images = torch.rand(1, 3, 70, 70)
    torch.testing.assert_close(again(images).predicted_depth[:, None], model(images))


class Larger(Pictures):
    size = (70, 84)

    def __getitem__(self, i):
        item = super().__getitem__(i)
        item["inputs"] = F.interpolate(item["inputs"][None], self.size)[0]
        item["data_samples"].gt_depth_map = PixelData(data=1 + item["inputs"].mean(0, keepdim=True))
        return item


def test_soc_on_a_fine_tuned_network(depth_anything, tmp_path):
    """Tokens with a class token, channels and encoder found by the dry run."""
    layer = "network.backbone.encoder.layer.3"
    model = HFDepthModel(str(depth_anything), output="disparity", max_depth=10)
    hook = {**HOOK, "feature": layer}
    runner = run(tmp_path, hook, model=copy.deepcopy(model), dataset=Larger(), iterations=2)
    assert runner.message_hub.get_scalar("train/loss_soc").current() > 0
    key = next(h for h in runner.hooks if type(h).__name__ == "SOCHook").contrast.key
    copied = sum(p.numel() for name, p in key.named_parameters() if ".projector." not in name)
    encoder = model.network.backbone
    assert copied == sum(p.numel() for p in encoder.parameters()) - sum(
        p.numel() for p in encoder.layernorm.parameters()
    )


def test_soc_on_tokens_of_pictures_that_the_network_stretches(tmp_path, tmp_path_factory):
    """A DPT that takes squares alone sees 4 × 4 patches of any picture, also of one twice as wide as high."""

    class Wide(Larger):
        size = (42, 84)

    folder = tmp_path_factory.mktemp("square")
    build, processor = NETWORKS["dpt"]
    build().save_pretrained(folder)
    processor.save_pretrained(folder)
    model = HFDepthModel(str(folder), output="disparity", max_depth=10)
    hook = {**HOOK, "feature": "network.dpt.encoder.layer.3"}
    shapes = []

    def record(runner):
        contrast = soc(runner).loss
        forward = contrast.forward
        contrast.forward = lambda query, *args: shapes.append(tuple(query.shape[2:])) or forward(query, *args)

    for name, options in (("dry", {}), ("given", {"in_channels": 32, "branch": "network"})):
        extra = [Watch(before_run=record)]
        run(tmp_path / name, {**hook, **options}, model=copy.deepcopy(model), dataset=Wide(), iterations=2, extra=extra)
    assert shapes == [(4, 4)] * 4


def test_errors(tmp_path, depth_anything):
    with pytest.raises(InputError, match="'metric' or 'disparity', not 'depth'"):
        HFDepthModel(str(depth_anything), output="depth")
    with pytest.raises(InputError, match="give a folder saved by save_pretrained"):
        HFDepthModel(str(tmp_path))
    model = HFDepthModel(str(depth_anything))
    data = model.data_preprocessor(pseudo_collate([Pictures()[0]]), True)
    del data["data_samples"][0].gt_depth_map
    with pytest.raises(KeyError, match="sample 0 has no gt_depth_map"):
        model(torch.rand(1, 3, 70, 70), data["data_samples"], mode="loss")
