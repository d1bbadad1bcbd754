"""No loss gives anything but a finite number with a finite gradient, whatever the depth map holds."""

import pytest
import torch

from tr2m_plugin.losses import (
    PseudoDepthLoss,
    ScaleOrientedContrastLoss,
    SILogLoss,
    SmoothnessLoss,
    confident_pseudo_depth,
    depth_classes,
    fit_scale_shift,
)

NAN, INF = float("nan"), float("inf")


def noise(seed, channels=1, size=(8, 12)):
    return torch.rand(2, channels, *size, generator=torch.Generator().manual_seed(seed)) + 0.1


def single():
    depth = torch.zeros(2, 1, 8, 12)
    depth[:, :, 3, 4] = 2.0
    return depth


def spoilt(value):
    depth = noise(1) * 5
    depth[:, :, ::2] = value
    return depth


def half_image():
    depth = noise(1) * 5
    depth[0] = 0
    return depth


DEPTHS = {
    "no pixel": torch.zeros(2, 1, 8, 12),
    "one pixel": single(),
    "constant": torch.full((2, 1, 8, 12), 3.0),
    "two depths": torch.where(noise(2) > 0.6, 1.0, 2.0),
    "NaN": spoilt(NAN),
    "infinite": spoilt(INF),
    "negative": spoilt(-1.0),
    "all NaN": torch.full((2, 1, 8, 12), NAN),
    "an image without truth": half_image(),
}


def si(pred, depth):
    return SILogLoss()(pred, depth)


def si_sqrt(pred, depth):
    return SILogLoss(lam=0.85, sqrt=True, scale=10)(pred, depth)


def pseudo(pred, depth):
    return PseudoDepthLoss(threshold=0.0)(pred, noise(4).to(depth.dtype), depth)


def pseudo_in_depth(pred, depth):
    return PseudoDepthLoss(threshold=0.0, space="depth")(pred, noise(4).to(depth.dtype), depth)


def contrast(pred, depth):
    query = pred.repeat(1, 3, 1, 1) * noise(5, 3).to(pred.dtype)
    return ScaleOrientedContrastLoss()(query, [noise(6, 3).to(pred.dtype)], depth, [depth])


def smooth(pred, depth):
    return SmoothnessLoss()([pred], noise(7, 3).to(pred.dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("loss", [si, si_sqrt, pseudo, pseudo_in_depth, contrast, smooth], ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", list(DEPTHS))
def test_finite_with_a_finite_gradient(name, loss, dtype):
    pred = (noise(3) * 4).to(dtype).requires_grad_()
    value = loss(pred, DEPTHS[name].to(dtype))
    value.backward()
    assert value.shape == ()
    assert value.dtype == torch.float32
    assert torch.isfinite(value)
    assert torch.isfinite(pred.grad).all()
    if name in ("no pixel", "all NaN") and loss is not smooth:
        assert value == 0
        assert (pred.grad == 0).all()
    if name == "an image without truth" and loss is not smooth:
        assert (pred.grad[0] == 0).all()
        assert (pred.grad[1] != 0).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("space", ["disparity", "depth"])
@pytest.mark.parametrize("name", list(DEPTHS))
def test_fits_are_finite(name, space, dtype):
    relative = noise(4)
    relative[0, 0, 0, 0], relative[1, 0, 0, 0] = NAN, INF
    relative, depth = relative.to(dtype), DEPTHS[name].to(dtype)
    alpha, beta = fit_scale_shift(relative, depth, space=space)
    assert alpha.dtype == beta.dtype == torch.float32
    assert torch.isfinite(alpha).all()
    assert torch.isfinite(beta).all()
    found = confident_pseudo_depth(relative, depth, space=space)
    assert torch.isfinite(found.depth).all()
    assert torch.isfinite(found.delta1).all()
    if name == "constant":
        expected = 1 / 3 if space == "disparity" else 3
        torch.testing.assert_close(beta, torch.full((2,), float(expected)), rtol=1e-2, atol=0)
        assert alpha.abs().max() < 1e-2


@pytest.mark.parametrize("name", ["no pixel", "one pixel", "constant", "all NaN"])
def test_depth_without_a_range_has_no_classes(name):
    assert (depth_classes(DEPTHS[name]) == -1).all()


def test_two_depths_have_two_classes():
    assert depth_classes(DEPTHS["two depths"]).unique().tolist() == [0, 20]
