"""Protocols against hand-written loops on a fixed random prediction."""

import json
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import tr2m_plugin
from pipelines.mini_world.domains import DOMAINS
from tr2m_plugin.datasets.readers import READERS, reader_of
from tr2m_plugin.errors import InputError
from tr2m_plugin.evaluation import Protocol, depth_metrics, load_protocol, protocol_of
from tr2m_plugin.evaluation.protocols import FOLDER, PROTOCOLS, name_protocol, protocol_of_sample
from tr2m_plugin.rows import IndexRow


def test_range_is_strict_and_predictions_are_clamped():
    truth = np.array([[0.0, 0.5, 1.0], [5.0, 10.0, np.nan]], np.float32)
    pred = np.array([[3.0, 0.1, np.nan], [np.inf, 3.0, 3.0]], np.float32)
    compared, expected = Protocol((0.5, 10.0)).compare(pred, truth)
    np.testing.assert_array_equal(expected, [1.0, 5.0])
    np.testing.assert_array_equal(compared, [0.5, 10.0])


def test_predictions_must_be_finite_where_the_truth_counts():
    truth = np.array([[0.0, 2.0, 3.0], [4.0, 0.1, 5.0]], np.float32)
    protocol, pred = Protocol((0.5, 10.0)), np.ones((2, 3), np.float32)
    protocol.checked(pred, truth)
    pred[0, 0], pred[1, 1] = np.nan, np.inf  # nothing there counts
    protocol.checked(pred, truth)
    pred[0, 2], pred[1, 2] = np.nan, np.inf
    with pytest.raises(InputError, match="2 of the 4 predicted numbers that count are not finite"):
        protocol.checked(pred, truth)
    with pytest.raises(InputError, match="none of the 4 predicted numbers that count is finite"):
        protocol.checked(np.full((1, 2), np.nan), truth)
    with pytest.raises(InputError, match=r"a prediction has the shape \(2, 3, 1\), not height and width"):
        protocol.checked(pred[..., None], truth)


def test_clamp_can_differ_from_the_range():
    protocol = Protocol((0, 8), clamp=(1e-6, 8))
    compared, truth = protocol.compare(np.array([[-1.0, 9.0]]), np.array([[0.001, 7.9]]))
    np.testing.assert_allclose(compared, [1e-6, 8])
    assert len(truth) == 2


@pytest.mark.parametrize("limits", [(-1.0, 10.0), (5.0, 1.0), (None, None)])
def test_a_senseless_range_is_refused(limits):
    with pytest.raises(InputError, match="depth_range"):
        Protocol(limits)


def test_senseless_options_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"clamp must be .*, and is needed where depth_range begins at 0"):
        Protocol((0, 8))
    with pytest.raises(InputError, match="crop must be one of garg"):
        Protocol((1, 8), crop="middle")
    for crop in ([1, 2], 5, [50, 10, 0, 3], ["a", "b", "c", "d"]):
        with pytest.raises(InputError, match="crop must be one of garg"):
            Protocol((1, 8), crop=crop)
    for option, value in (
        ("input_size", 5),
        ("flip_average", "maybe"),
        ("reader", 5),
        ("clamp", 5),
        ("clamp", [1, 2, 3]),
    ):
        with pytest.raises(InputError, match=f"{option} must be"):
            Protocol((1, 8), **{option: value})
    with pytest.raises(InputError, match="resize must be"):
        Protocol((1, 8), resize="cubic")
    with pytest.raises(InputError, match=r"no protocol 'release' for 'moon' .*moon.yaml does not exist"):
        load_protocol("release", "moon")
    for text in ("", "depth_range", "- depth_range"):
        (tmp_path / "nyu.yaml").write_text(text)
        with pytest.raises(InputError, match=r"nyu.yaml is not a protocol: it must hold options by name"):
            load_protocol(str(tmp_path), "nyu")
    (tmp_path / "nyu.yaml").write_text("depth_rang: [1, 2]")
    with pytest.raises(InputError, match=r"nyu.yaml is not a protocol: .*depth_rang"):
        load_protocol(str(tmp_path), "nyu")


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_dataset_has_a_file_that_its_reader_takes(name, tmp_path):
    known = {path.stem for path in (FOLDER / name).glob("*.yaml")}
    assert known == set(READERS) if name == "release" else known <= set(READERS)
    for dataset in known:
        protocol = load_protocol(name, dataset)
        assert (protocol.name, protocol.dataset) == (name, dataset)
        reader_of(dataset)(str(tmp_path), **protocol.reader)
        if dataset != "simcol" or name == "release":
            assert all(side % 14 == 0 for side in protocol.input_size or ()), "what DINOv2 takes"


def test_hashes_tell_protocols_apart():
    hashes = [load_protocol(path.parent.name, path.stem).hash for path in FOLDER.glob("*/*.yaml")]
    assert len(set(hashes)) == len(hashes)
    nyu = load_protocol("release", "nyu")
    assert nyu.hash == load_protocol("release", "nyu").hash
    other = nyu.changed({"flip_average": True})
    assert (other.name, other.flip_average, other.hash != nyu.hash) == ("release*", True, True)
    assert nyu.changed({}) is nyu
    diode = load_protocol("release", "diode")
    masked = diode.changed({"reader": {"mask": True}})
    assert masked.reader == {"picture_size": [480, 640], "mask": True}, "other options stay"
    assert diode.changed({"reader": {"mask": False}}) is diode
    assert load_protocol(name_protocol("release", {"reader": {"mask": True}}), "diode") == masked
    assert name_protocol("release", {}) == "release"
    assert nyu.changed({"crop": None}).input_hash == nyu.input_hash, "predictions do not depend on it"
    for change in ({"flip_average": True}, {"normalize": False}):
        assert nyu.changed(change).input_hash != nyu.input_hash
        assert nyu.changed(change).hash != nyu.hash
    with pytest.raises(InputError, match="no option moon"):
        nyu.changed({"moon": 1})


def row_of(**columns):
    return IndexRow(**{"dataset": "mine", "sample_id": "a", "split": "test", "image": "a.png", **columns})


def test_whole_numbers_hash_as_one_kind():
    row = row_of(depth_scale=1, depth_min=0.3, depth_max=10)
    stored = replace(row, depth_scale=1.0, depth_max=10.0, extras={"invalid": [65535.0], "crop": [0, 4, 0, 8]})
    given = replace(row, extras={"invalid": [65535], "crop": [0, 4, 0, 8]})
    assert protocol_of(given).hash == protocol_of(stored).hash
    assert protocol_of(given).input_hash == protocol_of(stored).input_hash
    assert protocol_of(replace(given, depth_max=10.5)).hash != protocol_of(given).hash
    assert Protocol((1, 2), flip_average=True).hash != Protocol((1, 2)).hash


@pytest.mark.parametrize(
    ("name", "dataset", "expected"),
    [
        ("release", "nyu", "8997d47e06bf"),
        ("release", "sun_rgbd", "b6b3eb21e31d"),
        ("release", "diode", "bb6afbe8eb60"),
        ("zoedepth", "ibims", "094f197c7ea2"),
        ("zoedepth", "c3vd", "da9305b9b4c3"),
    ],
)
def test_published_hashes_stay(name, dataset, expected):
    assert load_protocol(name, dataset).hash == expected


def test_the_packaged_models_numbers_are_of_the_worlds_protocols():
    measured = json.loads((Path(tr2m_plugin.__file__).parent / "weights/tr2m_mini/metrics.json").read_text())
    for name, domain in DOMAINS.items():
        near, far = domain.depth_range
        row = row_of(dataset=name, unit=domain.unit, depth_scale=1.0, depth_min=near, depth_max=far)
        assert measured["TR2M"]["datasets"][name]["protocol_hash"] == protocol_of(row).hash


def test_a_rows_protocol_is_its_own_or_its_range():
    named = protocol_of(row_of(protocol="zoedepth", dataset="kitti"))
    assert (named.name, named.depth_range) == ("zoedepth", (0.001, 80))
    plain = protocol_of(row_of(depth_min=0.3, depth_max=7.0))
    assert (plain.name, plain.depth_range, plain.crop) == ("range", (0.3, 7.0), None)


def test_a_samples_protocol_is_its_own_or_its_range():
    named = protocol_of_sample({"protocol": "zoedepth", "dataset": "kitti"})
    assert named == protocol_of(row_of(protocol="zoedepth", dataset="kitti"))
    plain = protocol_of_sample({"protocol": None, "dataset": "mine", "depth_range": (0.3, 7.0), "unit": "m"})
    assert plain == protocol_of(row_of(depth_min=0.3, depth_max=7.0))


def test_rows_that_say_no_protocol():
    with pytest.raises(InputError, match="mine/a has neither a protocol nor a range of depth"):
        protocol_of(row_of(depth_min=1.0))
    with pytest.raises(InputError, match=r"the protocol's changes should be JSON|no option"):
        load_protocol('release+{"crop": [', "nyu")


def slow(pred, truth, rows, columns, low, high, clamp):
    """The nine metrics by loops in plain Python; `pred` at any size, sampled with aligned corners."""
    (height, width), (h, w) = truth.shape, pred.shape
    pairs = []
    for i in range(*rows):
        for j in range(*columns):
            t = float(truth[i, j])
            if not low < t < high:
                continue
            y, x = i * (h - 1) / (height - 1), j * (w - 1) / (width - 1)
            y0, x0 = min(int(y), h - 2), min(int(x), w - 2)
            a, b = y - y0, x - x0
            p = (1 - a) * ((1 - b) * pred[y0][x0] + b * pred[y0][x0 + 1])
            p += a * ((1 - b) * pred[y0 + 1][x0] + b * pred[y0 + 1][x0 + 1])
            pairs.append((min(max(float(p), clamp[0]), clamp[1]), t))
    n = len(pairs)
    logs = [math.log(p) - math.log(t) for p, t in pairs]
    share = [sum(max(p / t, t / p) < 1.25**k for p, t in pairs) / n for k in (1, 2, 3)]
    return [
        *share,
        sum(abs(p - t) / t for p, t in pairs) / n,
        sum((p - t) ** 2 / t for p, t in pairs) / n,
        math.sqrt(sum((p - t) ** 2 for p, t in pairs) / n),
        math.sqrt(sum(v * v for v in logs) / n),
        sum(abs(math.log10(p) - math.log10(t)) for p, t in pairs) / n,
        100 * math.sqrt(sum(v * v for v in logs) / n - (sum(logs) / n) ** 2),
    ]


# Windows and ranges written out by hand: Eigen's on 480 x 640, Garg's on 352 x 1216 and 768 x 1024.
EXPECTED = {
    ("release", "nyu"): ((480, 640), (45, 471), (41, 601), 1e-3, 10),
    ("zoedepth", "nyu"): ((480, 640), (45, 471), (41, 601), 1e-3, 10),
    ("release", "kitti"): ((352, 1216), (143, 349), (43, 1172), 1e-3, 80),
    ("zoedepth", "kitti"): ((352, 1216), (143, 349), (43, 1172), 1e-3, 80),
    ("release", "void"): ((480, 640), (45, 471), (41, 601), 0.2, 5),
    ("zoedepth", "void"): ((480, 640), (0, 480), (0, 640), 0.2, 5),
    ("release", "hypersim"): ((768, 1024), (0, 768), (0, 1024), 1e-3, 80),
    ("zoedepth", "hypersim"): ((768, 1024), (45, 471), (41, 601), 1e-3, 80),
    ("release", "diode"): ((768, 1024), (313, 761), (36, 987), 1e-3, 80),
    ("zoedepth", "ibims"): ((480, 640), (45, 471), (41, 601), 0, 10),
    ("zoedepth", "sun_rgbd"): ((530, 730), (45, 471), (41, 601), 0, 8),
    ("release", "c3vd"): ((480, 640), (0, 480), (0, 640), 0.1, 100),
    ("zoedepth", "simcol"): ((475, 475), (0, 475), (0, 475), 1e-3, 200),
}


@pytest.mark.parametrize(("name", "dataset"), EXPECTED)
def test_numbers_are_those_of_hand_written_loops(name, dataset):
    size, rows, columns, low, high = EXPECTED[name, dataset]
    rng = np.random.default_rng(7)
    truth = (rng.uniform(-0.1, 1.1, size) * high).astype(np.float32) * (rng.random(size) < 0.03)
    pred = (rng.uniform(-0.05, 1.2, (31, 40)) * high).astype(np.float32)
    protocol = load_protocol(name, dataset)
    found = depth_metrics(*protocol.compare(pred, truth))
    expected = slow(pred, truth, rows, columns, low, high, (low or 1e-6, high))
    np.testing.assert_allclose(list(found.values()), expected, rtol=2e-4)


def test_kittis_eigen_window():
    protocol = load_protocol("release", "kitti").changed({"crop": "kitti_eigen"})
    rows, columns = protocol.window((375, 1242))
    assert (rows, columns) == (slice(124, 342), slice(44, 1197))
    scaled = Protocol((1, 2), crop="nyu_eigen_scaled")
    assert scaled.window((480, 640)) == (slice(45, 471), slice(41, 601))
    assert scaled.window((960, 1280)) == (slice(90, 942), slice(82, 1202))


def test_torch_and_numpy_agree():
    rng = np.random.default_rng(0)
    pred, truth = rng.uniform(1, 9, 50).astype(np.float32), rng.uniform(1, 9, 50).astype(np.float32)
    assert depth_metrics(pred, truth) == depth_metrics(torch.from_numpy(pred), torch.from_numpy(truth))


def test_protocol_files_are_small_and_say_what_they_are():
    for path in FOLDER.glob("*/*.yaml"):
        text = path.read_text()
        assert text.startswith("# "), path
        assert len(text.splitlines()) < 12
        assert isinstance(yaml.safe_load(text), dict)


@pytest.mark.parametrize("name", ['release+{"a":', "release+{" + "[" * 100_000, 'release+{"a": 1}'])
def test_changes_in_a_name_are_data(name):
    with pytest.raises(InputError, match=r"the protocol.s changes should be|protocols have no option a"):
        load_protocol(name, "nyu")


def test_a_file_of_aliases_is_refused_before_it_is_printed(tmp_path):
    bomb = "crop:\n- &a [1, 1]\n" + "".join(f"- &{b} [{', '.join(['*' + a] * 9)}]\n" for a, b in pairwise("abcdefgh"))
    (tmp_path / "nyu.yaml").write_text(f"depth_range: [1, 2]\n{bomb}")
    with pytest.raises(InputError, match=r"nyu.yaml is not YAML: aliases"):
        load_protocol(str(tmp_path), "nyu")


def test_a_prediction_that_lies_on_its_side_is_not_stretched_over_the_truth():
    protocol, truth = Protocol((0.5, 10.0)), np.full((48, 64), 2.0, np.float32)
    turned = np.ones((64, 48), np.float32)
    with pytest.raises(InputError, match="is 64 × 48 and the truth 48 × 64: was the picture not turned upright"):
        protocol.checked(turned, truth, foreign=True)
    assert protocol.checked(turned, truth) is turned  # networks of ours may see pictures at such a size
    for shape in ((48, 64), (24, 32), (50, 50), (70, 60)):
        assert protocol.checked(np.ones(shape, np.float32), truth, foreign=True).shape == shape
