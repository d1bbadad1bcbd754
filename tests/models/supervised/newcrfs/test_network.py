import json
import zlib

import numpy as np
import pytest
import torch
import transformers
from mmengine.structures import PixelData

from tr2m_plugin.errors import InputError
from tr2m_plugin.models import NeWCRFs, load_newcrfs_weights
from tr2m_plugin.models.supervised.newcrfs.weights import convert_names
from tr2m_plugin.structures import DepthDataSample


def seeded(name, shape):
    """Weights as a function of the authors' name of the parameter."""
    x = np.random.RandomState(zlib.crc32(name.encode()) & 0xFFFFFFFF).standard_normal(size=shape)
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "running_var":
        return 0.5 + 0.5 * np.abs(x)
    if leaf == "weight" and ("norm" in name or ".bn." in name or ".gn." in name):
        return 1 + 0.1 * x
    if leaf in ("bias", "running_mean"):
        return 0.1 * x
    if "relative_position_bias_table" in name:
        return 0.5 * x
    return x / np.sqrt(np.prod(shape[1:])) if len(shape) >= 2 else 0.1 * x


@pytest.fixture(scope="module")
def original(data):
    """A state dict with the names and shapes of the authors' tiny07."""
    shapes = json.loads((data / "newcrfs" / "tiny07_keys.json").read_text())
    state = {}
    for name, shape in shapes.items():
        if name.endswith(("relative_position_index", "num_batches_tracked")):
            state[name] = torch.zeros(shape, dtype=torch.int64)
        else:
            state[name] = torch.from_numpy(np.asarray(seeded(name, shape))).float()
    return state


def small(**options):
    torch.manual_seed(0)
    return NeWCRFs(version="mini07", **options)


def samples(count=2, size=(64, 96)):
    out = []
    for i in range(count):
        sample = DepthDataSample(metainfo={"sample_id": str(i)})
        sample.gt_depth_map = PixelData(data=torch.rand(1, *size) * 5 + 0.5)
        out.append(sample)
    return out


@pytest.mark.parametrize(("version", "parameters"), [("tiny07", 88.46), ("large07", 270.44)])
def test_published_sizes(version, parameters):
    with torch.device("meta"):
        net = NeWCRFs(version=version)
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(parameters, abs=0.005)


def test_the_authors_weights_fit(original, tmp_path):
    with torch.device("meta"):
        expected = {name: value.shape for name, value in NeWCRFs().state_dict().items()}
    found = convert_names({f"module.{name}": value for name, value in original.items()})
    assert {name: value.shape for name, value in found.items()} == expected
    net = NeWCRFs(max_depth=10.0).eval()
    torch.save({"model": original, "best_eval_steps": 3}, tmp_path / "model_nyu.ckpt")
    load_newcrfs_weights(net, tmp_path / "model_nyu.ckpt")
    with torch.no_grad():
        depth = net(torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0)))
    assert depth.shape == (1, 1, 64, 96)
    assert 0 < depth.min() < depth.max() < 10
    q = original["backbone.layers.1.blocks.0.attn.qkv.weight"][:192]
    assert torch.equal(net.backbone.swin.encoder.layers[1].blocks[0].attention.q_proj.weight, q)


def test_what_does_not_fit_is_named(original):
    state = {name: value for name, value in original.items() if not name.startswith("disp_head1")}
    with pytest.raises(
        InputError, match=r"the state dict does not fit: 2 of 373 tensors are missing \(head.bias, head.weight\)"
    ):
        load_newcrfs_weights(NeWCRFs(), state)
    with pytest.raises(InputError, match=r"tensors have another shape"):
        load_newcrfs_weights(small(), original)


def test_modes_and_gradients():
    net = small()
    images, batch = torch.randn(2, 3, 64, 96), samples()
    losses = net(images, batch, mode="loss")
    assert set(losses) == {"loss_si"}
    losses["loss_si"].backward()
    assert all(p.grad is not None for p in net.parameters()), "DistributedDataParallel refuses parameters without"
    out = net.eval()(images, batch, mode="predict")
    assert out[0].pred_depth_map.data.shape == (1, 64, 96)
    torch.testing.assert_close(torch.stack([s.pred_depth_map.data for s in out]), net(images))


def test_the_loss_is_the_authors():
    """10 · sqrt(mean(d²) − 0.85 · mean(d)²) over all pixels of the batch that are farther than the least depth."""
    torch.manual_seed(0)
    net = small(drop_path_rate=0.0, loss={"min_depth": 2.0}).eval()
    images, batch = torch.randn(2, 3, 64, 96), samples()
    truth = torch.stack([sample.gt_depth_map.data for sample in batch]).double()
    d = (net(images).double().log() - truth.log())[truth > 2]
    expected = 10 * (d.square().mean() - 0.85 * d.mean() ** 2).sqrt()
    torch.testing.assert_close(net(images, batch, mode="loss")["loss_si"].double(), expected, rtol=1e-5, atol=0)


def test_prediction_averages_the_mirror_image():
    net = small(flip_average=True).eval()
    images = torch.randn(2, 3, 64, 96)
    found = torch.stack([s.pred_depth_map.data for s in net(images, samples(), mode="predict")])
    torch.testing.assert_close(found, (net(images) + net(images.flip(-1)).flip(-1)) / 2)
    assert not torch.allclose(found, net(images))


def test_the_encoder_starts_from_a_pretrained_classifier(tmp_path):
    """Saved as `microsoft/swin-...` is: a classifier with its head."""
    torch.manual_seed(0)
    config = transformers.SwinConfig(embed_dim=24, depths=[1, 1, 2, 1], num_heads=[1, 2, 4, 8], window_size=7)
    classifier = transformers.SwinForImageClassification(config)
    classifier.save_pretrained(tmp_path)
    net = small(pretrained=str(tmp_path))
    assert net.backbone.config.drop_path_rate == 0.3
    encoder, own = classifier.swin.state_dict(), net.backbone.swin.state_dict()
    assert own.keys() == {name for name in encoder if not name.startswith("layernorm.")}
    assert all(torch.equal(value, encoder[name]) for name, value in own.items())
    with pytest.raises(InputError, match="is no Swin encoder of this version's size"):
        NeWCRFs(version="tiny07", pretrained=str(tmp_path))


def test_depth_stays_within_its_range():
    assert small(max_depth=80.0).eval()(torch.randn(1, 3, 32, 32)).max() < 80


def test_errors():
    with pytest.raises(InputError, match=r"multiples of 32, not 200 × 248"):
        small()(torch.zeros(1, 3, 200, 248))
    with pytest.raises(InputError, match="such as tiny07, not 'huge07'"):
        NeWCRFs(version="huge07")
