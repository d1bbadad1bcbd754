import numpy as np
import pytest

from tr2m_plugin.errors import InputError
from tr2m_plugin.evaluation import ScaleShiftFit, apply_scale_shift, depth_metrics, linear_fit, median_scale
from tr2m_plugin.evaluation.alignment import ALIGNMENTS, Alignment, AlignmentKind


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    out = []
    for scale, shift in ((0.5, 0.02), (0.8, 0.05)):
        relative = rng.uniform(0.1, 1.0, (8, 9)).astype(np.float32)
        truth = (1 / (scale * relative + shift)).astype(np.float32)
        valid = rng.random((8, 9)) < 0.6
        out.append((relative, np.where(valid, truth, 0), valid))
    return out


def global_fit(images):
    fit = ScaleShiftFit()
    for image in images:
        fit.add(*image)
    return fit.solve()


def test_linear_fit_recovers_scale_and_shift(images):
    for (relative, truth, valid), expected in zip(images, ((0.5, 0.02), (0.8, 0.05)), strict=True):
        scale, shift = linear_fit(relative, truth, valid)
        assert (scale, shift) == pytest.approx(expected, rel=1e-4)
        np.testing.assert_allclose(apply_scale_shift(relative, scale, shift)[valid], truth[valid], rtol=1e-4)


def test_linear_fit_equals_lstsq_on_noisy_data(images):
    relative, truth, valid = images[0]
    noisy = truth * np.random.default_rng(1).uniform(0.8, 1.2, truth.shape)
    x = np.stack([relative[valid], np.ones(valid.sum())], 1).astype(np.float64)
    expected = np.linalg.lstsq(x, 1 / noisy[valid].astype(np.float64), rcond=None)[0]
    assert linear_fit(relative, noisy, valid) == pytest.approx(tuple(expected), rel=1e-6)


def test_median_scaling_matches_the_median_and_has_no_shift(images):
    for relative, truth, valid in images:
        scale, shift = median_scale(relative, truth, valid)
        assert shift == 0
        aligned = apply_scale_shift(relative, scale, shift)
        assert np.median(aligned[valid]) == pytest.approx(np.median(truth[valid]), rel=1e-5)


def test_global_fit_minimises_the_mean_over_images_of_their_mean_squared_error(images):
    scale, shift = global_fit(images)

    def cost(a, b):
        return np.mean([np.mean((a * r[v].astype(np.float64) + b - 1 / t[v]) ** 2) for r, t, v in images])

    best = cost(scale, shift)
    for da, db in ((1e-3, 0), (-1e-3, 0), (0, 1e-3), (0, -1e-3)):
        assert cost(scale + da, shift + db) > best


def test_per_image_fits_beat_the_global_fit(images):
    together = global_fit(images)
    for relative, truth, valid in images:
        alone = linear_fit(relative, truth, valid)
        errors = [
            depth_metrics(apply_scale_shift(relative, *c)[valid], truth[valid])["abs_rel"] for c in (alone, together)
        ]
        assert errors[0] < errors[1]


def test_nothing_valid_and_no_variation(images):
    relative, truth, valid = images[0]
    nothing = np.zeros_like(valid)
    assert median_scale(relative, truth, nothing) == (0, 0)
    assert linear_fit(relative, truth, nothing) == pytest.approx((0, 0))
    flat = np.full_like(relative, 0.5)
    fitted = apply_scale_shift(flat, *linear_fit(flat, truth, valid))
    np.testing.assert_allclose(fitted, 1 / np.mean(1 / truth[valid]), rtol=1e-5)


def test_a_negative_line_becomes_the_farthest_depth():
    assert apply_scale_shift(np.array([[0.0]]), 1.0, -1.0) == pytest.approx(1e6)


def slow_line(pairs):
    """Scale and shift of a line through (x, y, weight) by the normal equations, in plain Python."""
    s, sx, sy, sxx, sxy = (
        sum(w * value for w, value in zip([p[2] for p in pairs], values, strict=True))
        for values in (
            [1] * len(pairs),
            [x for x, _, _ in pairs],
            [y for _, y, _ in pairs],
            [x * x for x, _, _ in pairs],
            [x * y for x, y, _ in pairs],
        )
    )
    scale = (s * sxy - sx * sy) / (s * sxx - sx * sx)
    return scale, (sy - scale * sx) / s


def slow_aligned(kind, returns, images):
    """Depth of the valid pixels of every image, pixel by pixel."""
    per_image, in_depth = [], kind.endswith("_depth")
    for values, truth, valid in images:
        pairs = []
        for v, t in zip(values[valid].tolist(), truth[valid].tolist(), strict=True):
            x = 1 / v if returns == "depth" and not in_depth else v
            pairs.append((x, t if in_depth else 1 / t, 1 / valid.sum()))
        per_image.append(pairs)
    found = []
    for pairs in per_image:
        if kind == "median":
            middle = np.median([1 / x for x, _, _ in pairs]) / np.median([1 / y for _, y, _ in pairs])
            found.append([1 / (middle * x) for x, _, _ in pairs])
            continue
        assert kind.startswith(("linear", "global")), f"{kind} needs a twin here"
        scale, shift = slow_line([p for one in per_image for p in one] if kind.startswith("global") else pairs)
        found.append([(v if in_depth else 1 / v) for v in (scale * x + shift for x, _, _ in pairs)])
    return found


@pytest.mark.parametrize("returns", ["disparity", "depth"])
@pytest.mark.parametrize("kind", ALIGNMENTS)
def test_every_alignment_equals_its_twin(kind, returns, images):
    rng = np.random.default_rng(5)
    noisy = []
    for relative, truth, valid in images:
        values = relative if returns == "disparity" else (2 / (relative + 0.1)).astype(np.float32)
        noisy.append((values, truth * rng.uniform(0.9, 1.1, truth.shape), valid))
    alignment = Alignment(kind, returns)
    assert alignment.over_dataset is kind.startswith("global")
    for image in noisy:
        alignment.add(*image)
    for image, expected in zip(noisy, slow_aligned(kind, returns, noisy), strict=True):
        np.testing.assert_allclose(alignment.apply(*image)[image[2]], expected, rtol=1e-4)


@pytest.mark.parametrize("kind", ALIGNMENTS)
def test_an_image_of_which_nothing_counts_is_no_error(kind, images):
    relative, truth, _ = images[0]
    alignment, nothing = Alignment(kind, "disparity"), np.zeros(truth.shape, bool)
    alignment.add(relative, truth, nothing)
    assert np.isfinite(alignment.apply(relative, truth, nothing)).all()


def test_methods_are_told_apart_by_labels():
    labels = [kind.label.lower() for kind in ALIGNMENTS.values()]
    assert sorted(set(labels)) == sorted(labels)


def test_a_kind_is_of_an_image_or_of_more():
    for options in ({}, {"fit": median_scale, "over": "dataset"}):
        with pytest.raises(TypeError, match="Half: give either `fit`, which is of an image, or `over`"):
            AlignmentKind("Half", **options)


@pytest.mark.parametrize("found", [(np.nan, 0.0), (1.0, np.inf)])
def test_a_fit_that_is_not_finite_is_not_measured(found, images, monkeypatch):
    monkeypatch.setitem(ALIGNMENTS, "broken", AlignmentKind("Broken", lambda *_: found))
    with pytest.raises(InputError, match=r"the alignment 'Broken' gives the scale .* and the shift"):
        Alignment("broken", "disparity").apply(*images[0])


def test_an_unknown_alignment_is_refused():
    with pytest.raises(InputError, match="alignment must be one of median, linear"):
        Alignment("cubic", "depth")


@pytest.mark.parametrize("kind", ALIGNMENTS)
def test_values_that_are_not_finite_are_left_out_of_a_fit(kind, images):
    relative, truth, valid = images[0]
    holes = relative.copy()
    holes[valid & (np.arange(relative.size).reshape(relative.shape) % 5 == 0)] = np.nan
    alignment = Alignment(kind, "disparity")
    alignment.add(holes, truth, valid)
    expected = Alignment(kind, "disparity")
    known = valid & np.isfinite(holes)
    expected.add(relative, truth, known)
    found = alignment.apply(holes, truth, valid)[known]
    np.testing.assert_allclose(found, expected.apply(relative, truth, known)[known], rtol=1e-5)
