import numpy as np
import pytest
import torch

from tr2m_plugin.errors import InputError
from tr2m_plugin.losses import ScaleOrientedContrastLoss, depth_classes, reduce_classes, scale_oriented_contrast


def twin(query, keys, query_classes, key_classes, reduction):
    """Eq. 8 pixel by pixel, over every pair."""
    unit = lambda v: v / np.linalg.norm(v)  # noqa: E731
    images = []
    for b in range(len(query)):
        losses = []
        for f, y in zip(query[b], query_classes[b], strict=True):
            if y < 0:
                continue
            positives, negatives = [], []
            for key, classes in zip(keys, key_classes, strict=True):
                outside = []
                for k, c in zip(key[b], classes[b], strict=True):
                    if c == y:
                        positives.append(unit(f) @ unit(k))
                    elif c >= 0:
                        outside.append(unit(f) @ unit(k))
                if outside:
                    negatives.append(np.mean(outside))
            if positives and negatives:
                s_n = np.sum(negatives) if reduction == "sum" else np.mean(negatives)
                s_p = np.mean(positives)
                losses.append(-np.log(np.exp(s_p) / (np.exp(s_p) + np.exp(s_n))))
        images.append(np.mean(losses) if losses else 0.0)
    return np.mean(images)


def features(batch=2, n=30, width=5, maps=2, classes=4, dtype=torch.float64):
    generator = torch.Generator().manual_seed(2)
    query = torch.randn(batch, n, width, generator=generator, dtype=dtype)
    keys = [torch.randn(batch, n, width, generator=generator, dtype=dtype) for _ in range(maps)]
    own = torch.randint(-1, classes + 1, (batch, n), generator=generator)
    others = [torch.randint(-1, classes + 1, (batch, n), generator=generator) for _ in range(maps)]
    return query, keys, own, others


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("maps", [1, 2, 3])
def test_equals_the_matrix_of_all_pairs(reduction, maps):
    query, keys, own, others = features(maps=maps)
    expected = twin(query.numpy(), [k.numpy() for k in keys], own.numpy(), [c.numpy() for c in others], reduction)
    loss = scale_oriented_contrast(query, keys, own, others, 4, reduction)
    assert loss.item() == pytest.approx(expected, rel=1e-9)
    single = scale_oriented_contrast(query.float(), [k.float() for k in keys], own, others, 4, reduction)
    assert single.item() == pytest.approx(expected, abs=1e-5)


def test_classes_that_are_absent_or_fill_a_key_are_left_out():
    query, keys, own, others = features()
    others[0][:] = 2  # fills the first key map
    others[1][:] = torch.where(others[1] == 1, -1, others[1])  # class 1 is nowhere
    own[0, :5] = 1
    expected = twin(query.numpy(), [k.numpy() for k in keys], own.numpy(), [c.numpy() for c in others], "sum")
    assert scale_oriented_contrast(query, keys, own, others, 4).item() == pytest.approx(expected, rel=1e-9)


def test_nothing_to_contrast_is_zero_with_zero_gradient():
    query, keys, own, _ = features()
    query.requires_grad_()
    for classes in (torch.full_like(own, -1), torch.zeros_like(own)):
        loss = scale_oriented_contrast(query, keys, classes, [classes, classes], 4)
        (gradient,) = torch.autograd.grad(loss, query)
        assert loss.item() == 0
        assert (gradient == 0).all()


def test_gradients_reach_the_query_and_not_the_keys():
    query, keys, own, others = features(n=8)
    query.requires_grad_()
    keys[0].requires_grad_()
    assert torch.autograd.gradcheck(lambda q: scale_oriented_contrast(q, keys, own, others, 4), query)
    scale_oriented_contrast(query, keys, own, others, 4).backward()
    assert keys[0].grad is None


def test_sums_are_float32_under_autocast():
    query, keys, own, others = (x for x in features(dtype=torch.float32))
    plain = scale_oriented_contrast(query, keys, own, others, 4)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = scale_oriented_contrast(query, keys, own, others, 4)
    assert mixed.dtype == torch.float32
    assert mixed.item() == pytest.approx(plain.item(), abs=1e-6)


def test_unknown_reduction():
    with pytest.raises(InputError, match="negative_reduction"):
        scale_oriented_contrast(*features(), 4, "max")


def test_depth_classes_equal_eq_7():
    depth = torch.rand(3, 6, 7, generator=torch.Generator().manual_seed(0)) * 9 + 0.5
    depth[0, 0, 0], depth[1, 1, 1], depth[2, 2, 2] = 0, float("nan"), float("inf")
    classes = depth_classes(depth, 20)
    assert classes.dtype == torch.int64
    for d, y in zip(depth.double().numpy(), classes.numpy(), strict=True):
        valid = np.isfinite(d) & (d > 0)
        low, high = d[valid].min(), d[valid].max()
        np.testing.assert_array_equal(y[valid], np.round((high - d[valid]) / (high - low) * 20))
        assert (y[~valid] == -1).all()
        assert y[valid].min() == 0
        assert y.max() == 20


def test_depth_classes_of_constant_empty_and_half_precision_depth():
    assert (depth_classes(torch.full((1, 3, 3), 2.0)) == -1).all()
    assert (depth_classes(torch.zeros(1, 3, 3)) == -1).all()
    half = depth_classes(torch.tensor([[1.0, 3.0, 5.0]]).half(), 4)
    assert half.tolist() == [[4, 2, 0]]


def test_a_given_range_is_shared_by_all_images_and_clamps():
    depth = torch.tensor([[1.0, 5.0], [20.0, 0.0]])
    assert depth_classes(depth, 10, (0.0, 10.0)).tolist() == [[9, 5], [0, -1]]


def test_module_contrasts_maps_with_depth():
    query = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(0))
    key = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(1))
    depth = torch.rand(2, 1, 12, 16, generator=torch.Generator().manual_seed(2)) + 1
    loss = ScaleOrientedContrastLoss(num_classes=4, loss_weight=0.1)(query, [key], depth, [depth])
    classes = reduce_classes(depth_classes(depth[:, 0], 4), (3, 4)).flatten(1).numpy()
    tokens = [x.flatten(2).transpose(1, 2).double().numpy() for x in (query, key)]
    assert loss.item() == pytest.approx(0.1 * twin(tokens[0], [tokens[1]], classes, [classes], "sum"), rel=1e-5)
