import math
from statistics import mean, median

import numpy as np
import pytest

from tr2m_plugin.evaluation.robust_fit import PAIRS, REACH, SHIFT_FROM, SPREAD, TOLERANCE, fit_robustly


def scene(count, scale, shift, seed=0):
    """Predicted depth, and depth that differs by a scale and a shift of its inverse."""
    depth = np.random.default_rng(seed).uniform(0.5, 8, count)
    return depth, 1 / (scale / depth + shift)


def slow_fit(depth, known, farthest):
    """The same by trying everything, in plain Python."""
    points = [(1 / float(d), 1 / float(k)) for d, k in zip(depth, known, strict=True)]
    alone = math.exp(median(math.log(y / x) for x, y in points))
    lines = [(alone, 0.0)]
    if len(points) >= SHIFT_FROM:
        for number, (x1, y1) in enumerate(points):
            for x2, y2 in points[:number]:
                lines.append(((y1 - y2) / (x1 - x2), y1 - (y1 - y2) / (x1 - x2) * x1))
        mx, my = mean(x for x, _ in points), mean(y for _, y in points)
        slope = sum((x - mx) * (y - my) for x, y in points) / sum((x - mx) ** 2 for x, _ in points)
        lines.append((slope, my - slope * mx))
    possible = [
        (a, b)
        for a, b in lines
        if (a, b) == lines[0] or (a >= alone / REACH and a / farthest + b >= alone / farthest / REACH)
    ]

    def ratios(line):
        return [(line[0] * x + line[1]) / y for x, y in points]

    def cost(line):
        return mean(abs(math.log(r)) if r > 0 else 1e3 for r in ratios(line))

    best = min(possible, key=cost)
    found = ratios(best)
    inliers = mean(r > 0 and max(r, 1 / r) < TOLERANCE for r in found)
    return (*best, inliers, median(abs(1 / r - 1) for r in found))


@pytest.mark.parametrize("count", [1, 2, 5, SHIFT_FROM - 1, SHIFT_FROM, 40])
@pytest.mark.parametrize("seed", range(4))
def test_it_equals_its_twin(count, seed):
    assert count * (count - 1) // 2 <= PAIRS, "the twin tries all pairs"
    rng = np.random.default_rng(seed)
    depth, known = scene(count, 0.7, 0.05, seed)
    known = known * np.exp(rng.normal(0, 0.3, count))
    found = fit_robustly(depth, known, depth.max() * 1.5)
    expected = slow_fit(depth, known, depth.max() * 1.5)
    assert (found.scale, found.shift, found.inliers, found.residual) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert found.points == count


@pytest.mark.parametrize(("count", "shift"), [(1, 0.0), (5, 0.0), (SHIFT_FROM, 0.1), (100, -0.02), (5000, 0.1)])
def test_scale_and_shift_are_recovered(count, shift):
    depth, known = scene(count, 0.6, shift)
    found = fit_robustly(depth, known, 8)
    assert (found.scale, found.shift) == pytest.approx((0.6, shift), abs=1e-9)
    assert found.inliers == 1
    assert found.residual == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("factors", [(3, 20), (0.05, 0.3), (0.05, 20)])
@pytest.mark.parametrize(("count", "shift"), [(10, 0.0), (20, 0.1), (100, 0.1), (2000, 0.1)])
def test_a_fifth_of_the_points_may_be_anything(count, shift, factors):
    depth, known = scene(count, 0.6, shift)
    wrong = np.arange(count) % 5 == 0
    known[wrong] *= np.random.default_rng(1).uniform(*factors, wrong.sum())
    found = fit_robustly(depth, known, 8)
    assert (found.scale, found.shift) == pytest.approx((0.6, shift), abs=1e-9)
    assert found.inliers == pytest.approx(0.8, abs=0.15)


def test_a_shift_neither_sends_a_scene_to_infinity_nor_flattens_it():
    depth, known = scene(50, 0.6, -0.02)  # at 30 m the inverse is 0
    assert fit_robustly(depth, known, 8.0).shift == pytest.approx(-0.02)
    for farthest in (25, 30, 1e4):
        found = fit_robustly(depth, known, farthest)
        alone = float(np.median(depth / known))
        assert 0 < 1 / (found.scale / farthest + found.shift) <= REACH * farthest / alone * (1 + 1e-9)
    flat = fit_robustly(depth, np.full(50, 3.0), 8.0)
    assert flat.scale >= float(np.median(depth / 3)) / REACH


def test_one_wall_says_nothing_of_a_shift():
    depth = np.linspace(2.0, 2.0 * SPREAD * 0.99, 30)
    known = np.linspace(3.0, 2.0, 30)  # a line through these would turn the rest of the picture around
    assert fit_robustly(depth, known, 5).shift == 0
    assert fit_robustly(np.full(30, 2.0), np.full(30, 3.0), 5).scale == pytest.approx(2 / 3)


def test_points_that_contradict_each_other_are_few_inliers():
    depth = np.full(10, 2.0)
    found = fit_robustly(depth, np.array([1.0, 9.0] * 5), 5)
    assert found.inliers <= 0.5
