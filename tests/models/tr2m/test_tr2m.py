import numpy as np
import pytest
import torch
from mmengine.structures import PixelData

from tr2m_plugin.errors import InputError
from tr2m_plugin.models import TR2M, rescale
from tr2m_plugin.structures import DepthDataSample

NET = {
    "type": "tr2m_plugin.RescaleNet",
    "image_channels": 32,
    "text_channels": 24,
    "out_channels": 16,
    "features": 16,
    "num_heads": 4,
}
PREPROCESSOR = {"type": "mmengine.ImgDataPreprocessor", "mean": [120.0] * 3, "std": [60.0] * 3}


def samples(count=2, tokens=True, truth=True):
    generator = torch.Generator().manual_seed(0)
    out = []
    for i in range(count):
        sample = DepthDataSample(metainfo={"sample_id": str(i), "dataset": "rooms"})
        sample.relative_depth_map = PixelData(data=torch.rand(1, 28, 42, generator=generator))
        sample.text_features = torch.randn(1, 24, generator=generator)
        if tokens:
            sample.image_features = torch.randn(6, 32, generator=generator)
        if truth:
            sample.gt_depth_map = PixelData(data=torch.rand(1, 28, 42, generator=generator) * 5 + 0.5)
        out.append(sample)
    return out


def model(**options):
    torch.manual_seed(0)
    return TR2M(NET, data_preprocessor=PREPROCESSOR, **options)


def test_tensor_mode_is_eq_3():
    images, batch = torch.rand(2, 3, 28, 42), samples()
    out = model()(images, batch)
    relative = torch.stack([s.relative_depth_map.data for s in batch])
    torch.testing.assert_close(out.depth, rescale(relative, out.scale, out.shift))
    assert out.depth.shape == (2, 1, 28, 42)


def test_losses_and_their_gradients():
    net = model()
    losses = net(torch.rand(2, 3, 28, 42), samples(), mode="loss")
    assert set(losses) == {"loss_si", "loss_pseudo", "loss_smooth"}
    sum(losses.values()).backward()
    grads = {n: p.grad for n, p in net.rescale_net.named_parameters()}
    assert all(g is not None and torch.isfinite(g).all() for g in grads.values())
    assert grads["scale_head.project.bias"].abs().sum() > 0


def test_losses_can_be_left_out():
    net = model(loss_pseudo=None, loss_smooth=None)
    assert set(net(torch.rand(2, 3, 28, 42), samples(), mode="loss")) == {"loss_si"}


def test_predict_attaches_maps_to_the_samples_it_got():
    data = {"inputs": [torch.zeros(3, 28, 42, dtype=torch.uint8)] * 2, "data_samples": samples()}
    out = model().eval().test_step(data)
    assert [s.sample_id for s in out] == ["0", "1"]
    for sample in out:
        for name in ("pred_depth_map", "scale_map", "shift_map"):
            assert sample.get(name).data.shape == (1, 28, 42)


def test_the_image_encoder_runs_when_samples_carry_no_tokens(dinov2):
    encoder = {"type": "tr2m_plugin.DINOv2Encoder", "pretrained": str(dinov2)}
    net = model(image_encoder=encoder).eval()
    image = torch.randn(1, 3, 28, 42)
    live = net(image, samples(1, tokens=False)).depth
    sample = samples(1, tokens=False)
    sample[0].image_features = net.image_encoder(image)[0]
    torch.testing.assert_close(net(image, sample).depth, live)
    assert not any(k.startswith("image_encoder") for k in net.state_dict())


def test_smoothness_sees_the_image_before_normalisation():
    net = model()
    raw = torch.randint(0, 255, (3, 28, 42), dtype=torch.uint8)
    batch = net.data_preprocessor({"inputs": [raw], "data_samples": samples(1)})
    torch.testing.assert_close(net._unit_image(batch["inputs"])[0], raw / 255, atol=1e-5, rtol=1e-5)


def test_a_size_that_does_not_fit_is_named():
    with pytest.raises(InputError, match=r"30 × 42 does not divide into 14-pixel patches: .* such as 28 × 42"):
        model()(torch.rand(2, 3, 30, 42), samples())
    with pytest.raises(InputError, match="relative depth of 28 × 42 does not match images of 42 × 42"):
        model()(torch.rand(2, 3, 42, 42), samples())


def test_an_unknown_encoder_is_named():
    with pytest.raises(
        InputError, match=r"unknown model, .tr2m_plugin.DINOv3Encoder.; near it are DINOv2Encoder.*custom_imports"
    ):
        model(image_encoder={"type": "tr2m_plugin.DINOv3Encoder"})


def test_rsas_factors_in_place_of_the_maps():
    net = {"type": "tr2m_plugin.RescaleFactors", "text_channels": 24}
    torch.manual_seed(0)
    losses = TR2M(net, data_preprocessor=PREPROCESSOR, loss_pseudo=None)(
        torch.rand(2, 3, 28, 42), samples(), mode="loss"
    )
    assert losses["loss_smooth"] == 0, "one factor per picture is smooth"
    losses["loss_si"].backward()


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match="no image_features"):
        model()(torch.rand(2, 3, 28, 42), samples(tokens=False))
    with pytest.raises(KeyError, match="sample 0 has no gt_depth_map"):
        model()(torch.rand(2, 3, 28, 42), samples(truth=False), mode="loss")
    with pytest.raises(ValueError, match="mode"):
        model()(torch.rand(2, 3, 28, 42), samples(), mode="guess")


def test_patches_are_the_rescaling_networks(dinov2):
    net = TR2M({**NET, "patch_size": 7}, data_preprocessor=PREPROCESSOR)
    assert net.patch_size == 7
    with pytest.raises(InputError, match="an image of 28 × 40 does not divide into 7-pixel patches"):
        net(torch.rand(2, 3, 28, 40), samples())
    with pytest.raises(InputError, match="TR2M has patches of 8 pixels and rescale_net of 14"):
        model(patch_size=8)
    encoder = {"type": "tr2m_plugin.DINOv2Encoder", "pretrained": str(dinov2)}
    with pytest.raises(InputError, match="image_encoder has patches of 14 pixels and rescale_net of 16"):
        TR2M({**NET, "patch_size": 16}, image_encoder=encoder)


IMAGENET = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}
DEPTH = {"type": "tr2m_plugin.RelativeDepth", "pretrained": "mini_depth_anything"}


def test_relative_depth_in_the_step_is_of_the_pictures_as_they_are():
    """The network sees what training made of a picture; what samples carry counts in prediction alone."""
    torch.manual_seed(0)
    normal = {**PREPROCESSOR, **IMAGENET}
    net = TR2M(NET, data_preprocessor=normal, relative_depth=DEPTH)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 28, 42, 3), np.uint8)
    seen = []
    net.loss_pseudo.register_forward_hook(lambda module, args, output: seen.append(args[1]))
    for shown in (pictures, pictures[:, :, ::-1]):
        batch = {"inputs": [torch.from_numpy(p.transpose(2, 0, 1).copy()) for p in shown], "data_samples": samples()}
        net(**net.data_preprocessor(batch, True), mode="loss")
        expected = net.relative_depth.predict(list(shown), (28, 42))
        torch.testing.assert_close(seen[-1], expected, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(seen[0], seen[1])
    assert not any(name.startswith("relative_depth") for name in net.state_dict())
    plain = TR2M(NET, data_preprocessor=normal)
    plain.load_state_dict(net.state_dict())
    inputs = torch.rand(2, 3, 28, 42)
    torch.testing.assert_close(net(inputs, samples()).depth, plain(inputs, samples()).depth)


@pytest.mark.parametrize(("name", "normal"), [("mini_midas", IMAGENET), ("mini_depth_anything", {})])
def test_a_network_that_takes_other_pictures_is_not_run_in_the_step(name, normal):
    with pytest.raises(InputError, match="only by a Depth Anything network and of pictures normalised as its own"):
        TR2M(NET, data_preprocessor={**PREPROCESSOR, **normal}, relative_depth={**DEPTH, "pretrained": name})
