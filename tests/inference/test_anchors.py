from dataclasses import replace

import numpy as np
import pytest

from tr2m_plugin.errors import InputError
from tr2m_plugin.evaluation.robust_fit import SHIFT_FROM
from tr2m_plugin.inference.anchors import Anchors, bring
from tr2m_plugin.inference.outputs import Prediction

SIZE = (45, 61)


@pytest.fixture
def found():
    """A prediction of a smooth map at the network's own size, so that eq. 3 gives the depth."""
    v, u = np.indices(SIZE)
    relative = (0.3 + np.sin(u / 20) ** 2 + v / 60).astype(np.float32)
    scale, shift = np.full(SIZE, 0.4, np.float32), np.full(SIZE, 0.05, np.float32)
    image = np.zeros((*SIZE, 3), np.uint8)
    return Prediction("a", image, 1 / (scale * relative + shift), "m", "a room", scale, shift, relative)


def truth_of(found, scale, shift):
    return 1 / (scale / found.depth + shift)


def drawn(truth, count, seed=0):
    """Points of a depth map, between pixels' centres too."""
    rng = np.random.default_rng(seed)
    v, u = (rng.integers(0, side, count) for side in truth.shape)
    return np.stack([u + rng.uniform(-0.49, 0.49, count), v + rng.uniform(-0.49, 0.49, count), truth[v, u]], 1)


@pytest.mark.parametrize(
    ("count", "scale", "shift"), [(1, 2.5, 0), (5, 0.2, 0), (SHIFT_FROM, 0.7, 0.1), (90, 0.7, -0.04)]
)
def test_depth_meets_what_is_known_everywhere(found, count, scale, shift):
    truth = truth_of(found, scale, shift)
    brought = bring(found, drawn(truth, count))
    np.testing.assert_allclose(brought.depth, truth, rtol=1e-4)
    np.testing.assert_allclose(1 / (brought.scale * brought.relative + brought.shift), brought.depth, rtol=1e-4)
    facts = brought.anchors
    assert (facts["points"], facts["inliers"], facts["source"]) == (count, 1, "given")
    assert (facts["scale"], facts["shift"]) == pytest.approx((scale, shift), rel=1e-4, abs=1e-6)
    assert facts["residual"] < 1e-4


def test_a_fifth_may_be_wrong(found):
    truth = truth_of(found, 0.7, 0.1)
    points = drawn(truth, 50)
    points[::5, 2] *= np.random.default_rng(1).uniform(2, 9, 10)
    brought = bring(found, points)
    np.testing.assert_allclose(brought.depth, truth, rtol=1e-4)
    assert brought.anchors["inliers"] == 0.8


@pytest.mark.parametrize("unit", ["m", "mm"])
@pytest.mark.parametrize("own", ["m", "mm"])
def test_units_are_converted(found, unit, own):
    truth = truth_of(found, 0.7, 0.1)
    points = drawn(truth, 40) * [1, 1, 1000 if unit == "mm" else 1]
    factor = 1000 if own == "mm" else 1
    maps = {"scale": found.scale / factor, "shift": found.shift / factor}
    brought = bring(replace(found, depth=found.depth * factor, unit=own, **maps), points, unit)
    np.testing.assert_allclose(brought.depth, truth * factor, rtol=1e-4)
    assert brought.unit == own
    assert brought.depth.dtype == brought.scale.dtype == brought.shift.dtype == np.float32


def test_anchors_that_contradict_each_other_are_refused(found):
    points = drawn(found.depth, 40)
    points[::2, 2] *= 5
    with pytest.raises(
        InputError, match=r"a: the anchors \(x.csv\) contradict each other or the picture: only 0% of 40 agree"
    ):
        bring(found, points, source="x.csv")
    with pytest.raises(InputError, match="only 0% of 2"):
        bring(found, points[:2])


def test_arrays_are_points_or_a_map(found):
    truth = truth_of(found, 0.7, 0)
    sparse = np.zeros(SIZE, np.float32)
    sparse[::9, ::9] = truth[::9, ::9]
    for given in (drawn(truth, 12), sparse):
        known = Anchors(given).by_name(["a"])
        np.testing.assert_allclose(Anchors(given).apply(found, known).depth, truth, rtol=1e-4)
    for wrong, message in (
        (np.zeros((4, 2)), "a depth map of anchors is 4 × 2 and its picture 45 × 61"),
        (np.zeros(3), r"anchors are an array \(N, 3\) .* not \(3,\) float64"),
        (np.zeros((0, 3)), "hold no point"),
        (np.array([[1, 2, 3], [1, 2, -3]]), r"anchors\[1\]: depth must be a number above 0, not -3"),
        (np.array([["a", "b", "c"]]), "anchors are an array"),
    ):
        with pytest.raises(InputError, match=message):
            Anchors(wrong).apply(found, {"a": wrong})


def test_pictures_have_their_own(found, tmp_path, caplog):
    one = np.ones((1, 3))
    assert Anchors([one, None]).by_name(["a", "b"]) == {"a": one}
    with pytest.raises(InputError, match="anchors of 1 pictures for 2: give a folder, or one for each"):
        Anchors(one).by_name(["a", "b"])
    with pytest.raises(InputError, match=r"holds no anchors of these pictures: they are called a.csv or a_depth\.png"):
        Anchors(tmp_path).by_name(["a", "b"])
    (tmp_path / "b.csv").write_text("u,v,depth\n1,2,3\n")
    assert Anchors(tmp_path).by_name(["a", "b"]) == {"b": tmp_path / "b.csv"}
    assert f"{tmp_path}: 1 of 2 pictures have no anchors" in caplog.text
    with pytest.raises(InputError, match="anchors of 1 pictures for 2"):
        Anchors(tmp_path / "b.csv").by_name(["a", "b"])
    with pytest.raises(InputError, match=r"nothing.csv does not exist"):
        Anchors(tmp_path / "nothing.csv").by_name(["a"])
    with pytest.raises(InputError, match="a unit of depth is m or mm"):
        Anchors(tmp_path, unit="cm")
    assert Anchors(tmp_path).apply(found, {"b": one}) is found
