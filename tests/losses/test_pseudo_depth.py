import numpy as np
import pytest
import torch

from tr2m_plugin.errors import InputError
from tr2m_plugin.losses import PseudoDepthLoss, confident_pseudo_depth, fit_scale_shift, scale_invariant_log


def scene(batch=2, size=(6, 7), noise=0.0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    relative = torch.rand(batch, 1, *size, generator=generator, dtype=torch.float64) + 0.1
    alpha = torch.tensor([0.5, 2.0], dtype=torch.float64)[:batch, None, None, None]
    line = alpha * relative + 0.05
    target = 1 / (line * (1 + noise * torch.randn(line.shape, generator=generator, dtype=torch.float64)))
    target[:, :, 0] = 0
    return relative.to(dtype), target.to(dtype)


def twin(relative, target, space):
    """Eq. 11-12 as written: the normal equations of each image, in float64."""
    out = []
    for r, t in zip(relative.double().numpy(), target.double().numpy(), strict=True):
        mask = (t > 0) & np.isfinite(t)
        x = np.stack([r[mask], np.ones(mask.sum())], 1)
        y = 1 / t[mask] if space == "disparity" else t[mask]
        out.append(np.linalg.inv(x.T @ x) @ (x.T @ y))
    return np.array(out)


@pytest.mark.parametrize("space", ["disparity", "depth"])
def test_fit_equals_the_closed_form(space):
    relative, target = scene(noise=0.1)
    alpha, beta = fit_scale_shift(relative, target, space=space)
    np.testing.assert_allclose(torch.stack([alpha, beta], 1).numpy(), twin(relative, target, space), rtol=1e-4)


def test_fit_survives_a_large_offset_in_float32():
    relative, target = scene(dtype=torch.float64)
    exact = fit_scale_shift(relative + 300, target)[0]
    np.testing.assert_allclose(fit_scale_shift((relative + 300).float(), target.float())[0], exact, rtol=2e-2)


def test_corner_cases_of_the_fit():
    relative, target = scene()
    nothing = fit_scale_shift(relative, torch.zeros_like(target))
    assert all((v == 0).all() for v in nothing)
    single = torch.zeros_like(target)
    single[:, :, 2, 2] = 4.0
    alpha, beta = fit_scale_shift(relative, single)
    assert (alpha == 0).all()
    np.testing.assert_allclose(beta, 0.25)
    alpha, beta = fit_scale_shift(torch.full_like(relative, 0.7), target)
    assert (alpha == 0).all()
    assert torch.isfinite(beta).all()
    bad = target.clone()
    bad[:, :, 1, 1], bad[:, :, 1, 2] = float("nan"), float("inf")
    assert all(torch.isfinite(v).all() for v in fit_scale_shift(relative, bad))
    with pytest.raises(InputError, match="space"):
        fit_scale_shift(relative, target, space="log")


def test_exact_relative_depth_gives_exact_pseudo_depth_everywhere_up_to_the_farthest_measurement():
    relative, target = scene()
    pseudo = confident_pseudo_depth(relative, target)
    full = torch.tensor([0.5, 2.0])[:, None, None, None] * relative + 0.05
    farthest = target.amax((1, 2, 3), keepdim=True)
    inside = 1 / full <= farthest * 0.9999
    np.testing.assert_allclose(pseudo.depth[inside], (1 / full)[inside], rtol=1e-3)
    assert (pseudo.depth[1 / full > farthest * 1.0001] == 0).all()
    assert (pseudo.delta1 == 1).all()
    assert pseudo.confident.all()
    assert (pseudo.depth[:, :, 0] > 0).any()  # supervision where nothing was measured


@pytest.mark.parametrize(("space", "expected"), [("disparity", True), ("depth", False)])
def test_a_street_is_confident_in_disparity_only(space, expected):
    """Depths over two decades, as on a road: a line in depth cannot follow 1 / relative."""
    relative = torch.linspace(0.01, 1.0, 400).view(1, 1, 20, 20)
    assert bool(confident_pseudo_depth(relative, 1 / relative, space=space).confident) is expected


def test_delta1_and_threshold():
    relative, target = scene(noise=0.3)
    pseudo = confident_pseudo_depth(relative, target, threshold=2.0)
    assert not pseudo.confident.any()
    fit = twin(relative, target, "disparity")
    for i in range(2):
        t = target[i].double().numpy()
        mask = t > 0
        d = 1 / np.maximum(fit[i, 0] * relative[i].double().numpy() + fit[i, 1], 1e-30)
        share = (np.maximum(d / np.where(mask, t, 1), np.where(mask, t, 1) / d)[mask] < 1.25).mean()
        assert pseudo.delta1[i].item() == pytest.approx(share, abs=1e-6)


def test_loss_counts_confident_images_only_and_has_gradients():
    relative, target = scene(dtype=torch.float64)
    target[1] = torch.rand_like(target[1]) * 50 + 0.1  # nothing to do with its relative depth
    pred = (torch.rand_like(target) + 1).requires_grad_()
    loss = PseudoDepthLoss(loss_weight=0.5)
    pseudo = confident_pseudo_depth(relative, target)
    assert pseudo.confident.tolist() == [True, False]
    expected = scale_invariant_log(pred[:1], pseudo.depth[:1]) / 2
    assert loss(pred, relative, target).item() == pytest.approx(0.5 * expected.item(), rel=1e-6)
    assert torch.autograd.gradcheck(lambda p: loss(p, relative, target), pred)


def test_no_truth_no_loss_no_nan():
    relative, target = scene()
    pred = torch.ones_like(target, requires_grad=True)
    loss = PseudoDepthLoss()(pred, relative, torch.zeros_like(target))
    loss.backward()
    assert loss.item() == 0
    assert (pred.grad == 0).all()


def test_pseudo_depth_may_reach_beyond_the_farthest_measurement():
    """A room measured to 5 m, whose far end at 8 m the sensor does not reach."""
    depth = torch.linspace(1, 8, 50).repeat(1, 1, 20, 1)
    relative, measured = 1 / depth, torch.where(depth < 5, depth, 0)
    near = confident_pseudo_depth(relative, measured).depth
    far = confident_pseudo_depth(relative, measured, farthest=torch.tensor([7.0])).depth
    assert near.max() < 5
    assert 6.8 < far.max() <= 7
    torch.testing.assert_close(far[depth < 7], depth[depth < 7], rtol=1e-4, atol=1e-4)
    pred = (depth * 1.1).requires_grad_()
    losses = [
        PseudoDepthLoss(bound=bound)(pred, relative, measured, farthest=torch.tensor([7.0]))
        for bound in ("measured", "range")
    ]
    reached = [torch.autograd.grad(loss, pred, retain_graph=True)[0].ne(0).sum() for loss in losses]
    assert reached[1] > reached[0]
    with pytest.raises(InputError, match="bound must be 'measured' or 'range', not 'all'"):
        PseudoDepthLoss(bound="all")
