import numpy as np
import pytest
import torch

from tr2m_plugin.losses import SILogLoss, scale_invariant_log


def twin(pred, target, lam, sqrt=False, scale=1.0):
    """Eq. 4, image by image and pixel by pixel."""
    losses = []
    for p, t in zip(pred.double().numpy(), target.double().numpy(), strict=True):
        eps = [np.log(a) - np.log(b) for a, b in zip(p.ravel(), t.ravel(), strict=True) if np.isfinite(b) and b > 0]
        if not eps:
            losses.append(0.0)
            continue
        n = len(eps)
        value = sum(e * e for e in eps) / n - lam / n**2 * sum(eps) ** 2
        losses.append(scale * (np.sqrt(value) if sqrt else value))
    return np.mean(losses)


def maps(batch=3, size=(4, 5), dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    pred = torch.rand(batch, 1, *size, generator=generator, dtype=torch.float64) * 5 + 0.2
    target = torch.rand(batch, 1, *size, generator=generator, dtype=torch.float64) * 5 + 0.2
    target[0, 0, :2] = 0
    target[1, 0, 0, 0], target[1, 0, 0, 1] = float("nan"), float("inf")
    return pred.to(dtype), target.to(dtype)


@pytest.mark.parametrize(("lam", "sqrt", "scale"), [(0.15, False, 1.0), (0.85, True, 10.0), (0.0, False, 1.0)])
def test_equals_the_formula(lam, sqrt, scale):
    pred, target = maps()
    loss = scale_invariant_log(pred, target, lam=lam, sqrt=sqrt, scale=scale)
    assert loss.item() == pytest.approx(twin(pred, target, lam, sqrt, scale), rel=1e-5)


@pytest.mark.parametrize("min_depth", [0.0, 1.0])
def test_over_the_batch_all_pixels_count_alike(min_depth):
    """NeWCRFs' loss: 10 · sqrt(mean(d²) − 0.85 · mean(d)²) over the valid pixels of all images."""
    pred, target = maps()
    pairs = zip(pred.double().ravel().tolist(), target.double().ravel().tolist(), strict=True)
    d = [np.log(a) - np.log(b) for a, b in pairs if np.isfinite(b) and b > min_depth]
    expected = 10 * np.sqrt(np.mean(np.square(d)) - 0.85 * np.mean(d) ** 2)
    loss = SILogLoss(lam=0.85, sqrt=True, scale=10, per_image=False, min_depth=min_depth)
    assert loss(pred, target).item() == pytest.approx(expected, rel=1e-5)
    empty = loss(pred.requires_grad_(), torch.zeros_like(target))
    empty.backward()
    assert empty.item() == 0
    assert not pred.grad.any()


def test_lambda_one_ignores_a_factor_and_lambda_zero_does_not():
    _, target = maps()
    target = target.nan_to_num(posinf=0)
    assert scale_invariant_log(3 * target.clamp(min=1e-3), target, lam=1.0).item() == pytest.approx(0, abs=1e-5)
    assert scale_invariant_log(3 * target.clamp(min=1e-3), target, lam=0.0).item() == pytest.approx(
        np.log(3) ** 2, rel=1e-4
    )


@pytest.mark.parametrize("per_image", [True, False])
@pytest.mark.parametrize("sqrt", [False, True])
def test_gradients(sqrt, per_image):
    pred, target = maps(dtype=torch.float64)
    pred.requires_grad_()
    loss = lambda p: scale_invariant_log(p, target, lam=0.3, sqrt=sqrt, per_image=per_image)  # noqa: E731
    assert torch.autograd.gradcheck(loss, pred)


@pytest.mark.parametrize("sqrt", [False, True])
@pytest.mark.parametrize("fill", [0.0, float("nan"), float("inf"), -1.0])
def test_an_image_without_truth_contributes_zero(fill, sqrt):
    pred = torch.full((2, 1, 3, 3), 2.0, requires_grad=True)
    target = torch.full((2, 1, 3, 3), fill)
    target[1] = 1.0
    loss = scale_invariant_log(pred, target, lam=0.0, sqrt=sqrt)
    alone = scale_invariant_log(pred[1:], target[1:], lam=0.0, sqrt=sqrt)
    loss.backward()
    assert loss.item() == pytest.approx(alone.item() / 2, rel=1e-5)
    assert torch.isfinite(pred.grad).all()
    assert (pred.grad[0] == 0).all()


def test_one_pixel_and_a_perfect_prediction():
    target = torch.zeros(1, 1, 3, 3)
    target[0, 0, 1, 1] = 2.0
    pred = torch.full_like(target, 4.0)
    assert scale_invariant_log(pred, target, lam=0.15).item() == pytest.approx(0.85 * np.log(2) ** 2, rel=1e-5)
    exact = target.clone().clamp(min=1).requires_grad_()
    loss = scale_invariant_log(exact * target.clamp(min=1) / exact.detach(), target, sqrt=True)
    loss.backward()
    assert torch.isfinite(exact.grad).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    pred, target = maps()
    loss = scale_invariant_log(pred.to(dtype), target.to(dtype))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(twin(pred, target, 0.15), rel=0.03)


def test_valid_mask_restricts_and_module_weighs():
    pred, target = maps()
    valid = torch.zeros_like(target, dtype=torch.bool)
    valid[..., :2] = True
    masked = torch.where(valid, target, 0)
    assert SILogLoss(loss_weight=2.0)(pred, target, valid).item() == pytest.approx(
        2 * twin(pred, masked, 0.15), rel=1e-5
    )
