import itertools

import numpy as np
import pytest

from tr2m_plugin.evaluation.sparsification import STEPS, area, ause, sparsification


def slow_curve(errors, ranks):
    """The formula, for ranks that differ: mean error of what is left over that of all, by sorting lists."""
    pairs = sorted(zip(map(float, ranks), map(float, errors), strict=True), reverse=True)
    curve = []
    for k in range(STEPS):
        left = [error for _, error in pairs[len(pairs) * k // STEPS :]]
        curve.append(sum(left) / len(left))
    return [value / curve[0] for value in curve]


def slow_ause(errors, ranks):
    gaps = [a - b for a, b in zip(slow_curve(errors, ranks), slow_curve(errors, errors), strict=True)]
    return sum((a + b) / 2 / STEPS for a, b in itertools.pairwise(gaps))


@pytest.mark.parametrize("count", [1, 7, 100, 1234])
def test_ause_is_its_formulas(count):
    rng = np.random.default_rng(count)
    errors, ranks = rng.exponential(0.2, count).astype(np.float32), rng.normal(size=count).astype(np.float32)
    assert sparsification(errors, ranks) == pytest.approx(slow_curve(errors, ranks), rel=1e-9)
    assert ause(errors, ranks) == pytest.approx(slow_ause(errors, ranks), rel=1e-9, abs=1e-12)


def test_the_oracle_is_best_and_its_opposite_worst():
    rng = np.random.default_rng(0)
    errors = rng.exponential(0.2, 500)
    noisy = errors + rng.normal(0, 0.2, 500)
    order = [ause(errors, ranks) for ranks in (errors, noisy, np.zeros(500), -errors)]
    assert order[0] == 0
    assert order == sorted(order)
    assert len(set(order)) == 4
    assert ause(errors, errors**3) == 0, "only the order counts"


def test_equal_ranks_are_the_mean_of_all_their_orders():
    errors, ranks = np.array([0.9, 0.1, 0.5, 0.2]), np.array([2.0, 2.0, 1.0, 2.0])
    drawn = [slow_curve(errors, ranks + np.array(order) / 10) for order in itertools.permutations(range(4))]
    assert sparsification(errors, ranks) == pytest.approx(np.mean(drawn, 0))
    np.testing.assert_allclose(sparsification(errors, np.ones(4)), 1)


def test_no_error_is_no_loss():
    assert ause(np.zeros(5), np.arange(5)) == 0
    assert area(np.ones(STEPS)) == pytest.approx((STEPS - 1) / STEPS)
