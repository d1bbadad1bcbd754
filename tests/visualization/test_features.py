import numpy as np
import pytest
import torch

from tr2m_plugin.visualization.features import draw_features, plane


def cells(count=60):
    """Two bundles of directions."""
    generator = np.random.default_rng(0)
    ends = np.repeat(np.eye(8)[:2], count // 2, 0)
    return (ends + 0.05 * generator.standard_normal((count, 8))).astype(np.float32)


@pytest.mark.parametrize("method", ["tsne", "pca"])
def test_bundles_stay_bundles(method):
    points = plane(cells(), method)
    assert points.shape == (60, 2)
    first, second = points[:30], points[30:]
    within = max(first.std(0).max(), second.std(0).max())
    assert np.linalg.norm(first.mean(0) - second.mean(0)) > 3 * within
    np.testing.assert_array_equal(points, plane(cells(), method))


def test_a_picture_with_a_panel_per_name():
    depth = torch.linspace(1, 5, 16)[None, None, :, None].expand(2, 1, 16, 20).clone()
    depth[:, :, :4] = 0
    maps = torch.randn(2, 6, 8, 10)
    one, two = (draw_features({f"{i} Ba$$in": (maps, depth) for i in range(n)}, "pca") for n in (1, 2))
    assert one.dtype == np.uint8
    assert one.shape[2] == 3
    assert two.shape[1] - one.shape[1] == 500
    colors = {tuple(pixel) for pixel in one.reshape(-1, 3)[::7].tolist()}
    assert len(colors) > 20, "points have the colours of many classes"
