import numpy as np
import pytest
import torch

from tr2m_plugin.losses import SmoothnessLoss, edge_aware_smoothness


def twin(maps, image):
    total = 0.0
    for axis in (1, 2):
        terms = []
        for m, i in zip(maps.double().numpy(), image.double().numpy(), strict=True):
            m = m / (m.mean() + 1e-7)
            edges = np.abs(np.diff(i, axis=axis)).mean(0, keepdims=True)
            terms.append(np.abs(np.diff(m, axis=axis)) * np.exp(-edges))
        total += np.mean(terms)
    return total


def inputs(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return (
        torch.rand(2, 1, 5, 6, generator=generator, dtype=torch.float64).to(dtype) + 0.1,
        torch.rand(2, 3, 5, 6, generator=generator, dtype=torch.float64).to(dtype),
    )


def test_equals_the_formula():
    maps, image = inputs()
    assert edge_aware_smoothness(maps, image).item() == pytest.approx(twin(maps, image), rel=1e-5)


def test_a_factor_does_not_matter_and_a_flat_map_is_smooth():
    maps, image = inputs()
    assert edge_aware_smoothness(7 * maps, image).item() == pytest.approx(twin(maps, image), rel=1e-4)
    assert edge_aware_smoothness(torch.full_like(maps, 3.0), image).item() == 0


def test_edges_of_the_image_excuse_edges_of_the_map():
    step = torch.ones(1, 1, 4, 8)
    step[..., 4:] = 2
    image = step.expand(1, 3, 4, 8) - 1
    assert edge_aware_smoothness(step, image) < 0.5 * edge_aware_smoothness(step, torch.zeros(1, 3, 4, 8))


def test_gradients_and_sum_over_maps():
    maps, image = inputs(torch.float64)
    maps.requires_grad_()
    assert torch.autograd.gradcheck(lambda m: edge_aware_smoothness(m, image), maps)
    both = SmoothnessLoss(loss_weight=0.01)([maps, 2 * maps], image)
    assert both.item() == pytest.approx(0.02 * twin(maps.detach(), image), rel=1e-5)


def test_image_of_another_size_is_resized():
    maps, image = inputs()
    bigger = torch.nn.functional.interpolate(image, (9, 11), mode="bilinear", align_corners=True)
    assert torch.isfinite(edge_aware_smoothness(maps, bigger))
