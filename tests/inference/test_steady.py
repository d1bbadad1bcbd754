import math
from dataclasses import replace

import numpy as np
import pytest

from tr2m_plugin.errors import InputError
from tr2m_plugin.inference.outputs import Prediction
from tr2m_plugin.inference.steady import SteadyScale

RNG = np.random.default_rng(0)
SHAPE = RNG.uniform(1, 5, (90, 120)).astype(np.float32)
IMAGE = RNG.integers(0, 120, (90, 120, 3), np.uint8)


def frame(scale, image=IMAGE):
    """A prediction of one scene at some scale."""
    small = np.ones((4, 5), np.float32)
    return Prediction("0", image, SHAPE * np.float32(scale), "m", "A room.", small / scale, small / scale, small)


def run(steady, scales, fps=10):
    return [steady(frame(scale), number / fps) for number, scale in enumerate(scales)]


def test_flicker_is_averaged_away_by_the_formula():
    scales = np.exp(np.random.default_rng(1).normal(0, 0.1, 200))
    found = run(SteadyScale(0.5), scales)
    kept, followed = math.exp(-0.1 / 0.5), math.log(scales[0])
    for (held, factor), scale in zip(found, scales, strict=True):
        followed = kept * followed + (1 - kept) * math.log(scale)
        assert factor == pytest.approx(math.exp(followed) / scale, rel=1e-4)
        np.testing.assert_allclose(held.depth, SHAPE * math.exp(followed), rtol=1e-4)
    logs = np.log([held.depth[0, 0] for held, _ in found])
    assert np.abs(np.diff(logs)).mean() < 0.2 * np.abs(np.diff(np.log(scales))).mean()


def test_a_change_arrives_with_the_delay_whatever_the_frame_rate():
    for fps in (10, 40):
        found = run(SteadyScale(0.5), [1.0] * 5 + [2.0] * fps, fps)
        changed = [held.depth[0, 0] / SHAPE[0, 0] for held, _ in found[5:]]
        late = math.log(2) - math.log(changed[round(0.5 * fps) - 1])
        assert late == pytest.approx(math.log(2) / math.e, rel=1e-3)


def test_some_things_that_move_change_nothing():
    steady = SteadyScale()
    steady(frame(1), 0)
    moved = frame(1)
    moved.depth[:40] *= 3  # less than half of the pixels
    assert steady(moved, 0.1)[1] == pytest.approx(1)


def test_a_cut_begins_anew():
    steady = SteadyScale()
    run(steady, [1.0, 1.3])
    assert steady(frame(5, 255 - IMAGE), 0.2)[1] == 1
    assert steady(frame(5, 255 - IMAGE), 0.3)[1] == pytest.approx(1)
    brighter = np.clip(IMAGE.astype(int) + 20, 0, 255).astype(np.uint8)
    steady = SteadyScale()
    steady(frame(1), 0)
    assert steady(frame(2, brighter), 0.1)[1] < 0.7


def test_the_maps_still_say_the_depth():
    steady = SteadyScale()
    steady(frame(1), 0)
    given = replace(frame(2), depth=np.full((90, 120), 1.0, np.float32))
    held, _ = steady(given, 0.1)
    np.testing.assert_allclose(1 / (held.scale * held.relative + held.shift), held.depth[:4, :5], rtol=1e-5)


@pytest.mark.parametrize("delay", [0, -1, math.inf, math.nan])
def test_the_delay_is_checked(delay):
    with pytest.raises(InputError, match="a number of seconds above 0"):
        SteadyScale(delay)
