import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from tr2m_plugin.errors import InputError
from tr2m_plugin.models import RescaleNet, load_release_weights, rescale


def small(**options):
    torch.manual_seed(0)
    sizes = {"image_channels": 32, "text_channels": 24, "out_channels": 16, "features": 16, "num_heads": 4}
    return RescaleNet(**{**sizes, **options})


def tokens(batch=2, h=3, w=4):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, h * w, 32, generator=generator), torch.randn(batch, 1, 24, generator=generator)


def test_gives_the_released_heads_numbers(data, tmp_path):
    path = data / "tr2m_release_head.safetensors"
    with safe_open(path, "pt") as file:
        size = {name: float(value) for name, value in file.metadata().items()}
    arrays = load_file(path)
    net = RescaleNet(
        int(size["in_channels"]),
        int(size["text_channels"]),
        int(size["out_channels"]),
        int(size["features"]),
        int(size["heads"]),
        coef_scale=size["coef_scale"],
        coef_shift=size["coef_shift"],
    )
    prefix = "state_dict."
    release = tmp_path / "release.pth"
    torch.save({k[len(prefix) :]: v for k, v in arrays.items() if k.startswith(prefix)}, release)
    assert load_release_weights(net, release) == []
    assert load_release_weights(net, path) == [], "names that begin with state_dict. too"
    with torch.no_grad():
        out = net(
            arrays["input.image_features"],
            arrays["input.text_features"],
            (int(size["patch_h"]), int(size["patch_w"])),
        )
    for name in ("fused", "scale", "shift"):
        torch.testing.assert_close(getattr(out, name), arrays[f"output.{name}"], rtol=1e-5, atol=1e-6)
    depth = rescale(arrays["input.relative_depth"], out.scale, out.shift)
    torch.testing.assert_close(depth, arrays["output.metric_depth"], rtol=1e-5, atol=0)


def test_full_size_has_the_published_number_of_parameters():
    with torch.device("meta"):
        net = RescaleNet()
    assert sum(p.numel() for p in net.parameters() if p.requires_grad) == 18_959_746


def test_shapes_and_signs():
    out = small()(*tokens(), (3, 4))
    assert out.scale.shape == out.shift.shape == (2, 1, 42, 56)
    assert out.fused.shape == (2, 32, 3, 4)
    assert (out.scale > 0).all()
    assert (out.shift > 0).all()


def test_equal_widths_need_no_alignment():
    net = small(text_channels=32)
    assert isinstance(net.fusion.align, torch.nn.Identity)


@pytest.mark.parametrize(
    ("modalities", "image_matters", "text_matters"), [("both", 1, 1), ("image", 1, 0), ("text", 0, 1)]
)
def test_modalities(modalities, image_matters, text_matters):
    net = small(modalities=modalities).eval()
    image, text = tokens()
    plain = net(image, text, (3, 4)).scale
    assert torch.equal(net(image + 1e-1 * image.roll(1, 1), text, (3, 4)).scale, plain) is not bool(image_matters)
    assert torch.equal(net(image, text.roll(1, 2), (3, 4)).scale, plain) is not bool(text_matters)


def test_maps():
    image, text = tokens()
    scale_only, shift_only = small(maps="scale")(image, text, (3, 4)), small(maps="shift")(image, text, (3, 4))
    assert (scale_only.shift == 0).all()
    assert scale_only.scale.std() > 0
    torch.testing.assert_close(shift_only.scale, torch.full_like(shift_only.scale, 0.01))
    # Depth Anything gives numbers near 8.6: with A = 1 nothing would lie beyond 0.12 m.
    assert (rescale(torch.tensor(8.6), shift_only.scale, shift_only.shift) > 1).all()
    assert shift_only.shift.std() > 0


def test_factors_are_one_number_per_picture_that_image_and_sentence_decide():
    net = small(factors=True)
    image, text = tokens()
    out = net(image, text, (3, 4))
    for factor in (out.scale, out.shift):
        assert factor.shape == (2, 1, 42, 56)
        assert (factor == factor[:, :, :1, :1]).all()
        assert factor[0, 0, 0, 0] != factor[1, 0, 0, 0]
    torch.testing.assert_close(
        out.scale[:, 0, 0, 0].log(), small()(image, text, (3, 4)).scale.log().mean((1, 2, 3)), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("modalities", ["both", "image", "text"])
@pytest.mark.parametrize("maps", ["both", "scale", "shift"])
def test_every_parameter_gets_a_gradient(modalities, maps):
    """DistributedDataParallel refuses parameters that get none."""
    net = small(modalities=modalities, maps=maps)
    out = net(*tokens(), (3, 4))
    (out.scale.sum() + out.shift.sum()).backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_maps_are_float32_under_autocast_and_near_those_of_float32():
    net, inputs = small(), tokens()
    plain = net(*inputs, (3, 4))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = net(*inputs, (3, 4))
    assert mixed.scale.dtype == mixed.shift.dtype == torch.float32
    torch.testing.assert_close(mixed.scale, plain.scale, rtol=3e-2, atol=0)


def test_the_exponent_keeps_its_digits_under_autocast():
    """In bfloat16 a map has a few distinct values, a percent apart."""
    head = small().scale_head
    features = torch.randn(1, head.reduce.in_channels, 24, 32)
    with torch.autocast("cpu", torch.bfloat16):
        found = head(features, (84, 112))
    assert found.unique().numel() > 0.5 * found.numel()


def test_rescale_is_eq_3_with_a_floor():
    relative, scale, shift = torch.tensor([0.5, 0.0]), torch.tensor([2.0, 2.0]), torch.tensor([0.25, 0.0])
    torch.testing.assert_close(rescale(relative, scale, shift), torch.tensor([0.8, 1e6]))


def test_layer_norm_is_computed_in_float32():
    net = small().to(torch.bfloat16)
    norm = net.fusion.norm_self.float()
    x = torch.randn(2, 5, 32).to(torch.bfloat16)
    expected = torch.nn.functional.layer_norm(x.float(), (32,)).to(torch.bfloat16)
    assert torch.equal(norm(x), expected)


@pytest.mark.parametrize("options", [{"modalities": "sound"}, {"maps": "none"}])
def test_unknown_options_are_named(options):
    with pytest.raises(InputError, match=str(next(iter(options.values())))):
        small(**options)


def test_wrong_number_of_tokens():
    with pytest.raises(InputError, match="12 image tokens do not make 3 × 5 patches"):
        small()(*tokens(), (3, 5))


@pytest.mark.parametrize("patch_size", [8, 14, 16])
def test_a_patch_lies_where_its_token_is(patch_size):
    """The pixel in the middle of a patch follows that patch's token more than any other."""
    height, width = 5, 7
    torch.manual_seed(0)
    net = RescaleNet(8, 8, 8, 8, num_heads=2, head_channels=4, patch_size=patch_size).double()
    net.fusion.forward = lambda image, text: image
    for parameter in net.parameters():
        parameter.data = parameter.data.abs() / 4  # so that every weight tells near from far alike
    tokens = torch.rand(1, height * width, 8, dtype=torch.float64, requires_grad=True)
    scale = net(tokens, torch.zeros(1, 1, 8), (height, width)).scale
    assert scale.shape == (1, 1, patch_size * height, patch_size * width)
    for row, column in ((0, 0), (0, 6), (2, 3), (3, 1), (4, 0), (4, 6)):
        pixel = scale[0, 0, row * patch_size + patch_size // 2, column * patch_size + patch_size // 2]
        (gradient,) = torch.autograd.grad(pixel.log(), tokens, retain_graph=True)
        assert divmod(int(gradient.abs().sum(2).argmax()), width) == (row, column)


def test_a_patch_size_that_is_none():
    with pytest.raises(InputError, match="patch_size must be 1 or more, not 0"):
        RescaleNet(8, 8, 8, 8, num_heads=2, patch_size=0)
