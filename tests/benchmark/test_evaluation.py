"""`tr2m evaluate` as its users call it, on a folder of one's own and on small trees of published datasets."""

import argparse
import json
import shutil

import cv2
import numpy as np
import pytest
import yaml

from tests.support import tree_ibims, tree_kitti, tree_nyu, tree_sun_rgbd
from tr2m_plugin.benchmark.datasets import index_dataset
from tr2m_plugin.benchmark.estimators import open_estimator
from tr2m_plugin.benchmark.predictions import StoredPredictions
from tr2m_plugin.benchmark.results import PER_IMAGE
from tr2m_plugin.cli import main
from tr2m_plugin.cli.options import factor as factor_of
from tr2m_plugin.datasets.parquet import columns_of, read_table, write_table
from tr2m_plugin.datasets.readers import load_depth
from tr2m_plugin.datasets.readers.nyu import NYUv2
from tr2m_plugin.errors import InputError
from tr2m_plugin.evaluation import depth_metrics, load_protocol, protocol_of
from tr2m_plugin.evaluation.alignment import Alignment
from tr2m_plugin.rows import DescriptionRow, ErrorRow

MINE = {
    "type": "RGBDFolder",
    "image": "*_rgb.png",
    "depth": "*_depth.png",
    "depth_scale": 0.001,
    "unit": "m",
    "depth_range": [0.3, 8],
    "domain": "indoor",
}


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """Five pictures, one of them without valid depth; and a file that names the folder."""
    folder = tmp_path_factory.mktemp("mine")
    rng = np.random.default_rng(0)
    for number in range(5):
        cv2.imwrite(str(folder / f"{number}_rgb.png"), rng.integers(0, 255, (60, 80, 3), np.uint8))
        depth = rng.integers(500, 7000, (60, 80)).astype(np.uint16) * (number != 3)
        cv2.imwrite(str(folder / f"{number}_depth.png"), depth.astype(np.uint16))
    (folder / "roots.yaml").write_text(yaml.safe_dump({"mine": {**MINE, "root": str(folder)}}))
    return folder


def run(*arguments):
    return main(["evaluate", *map(str, arguments), "--device", "cpu", "--workers", "0", "--kind", "fixture"])


def metrics_of(out):
    return json.loads((out / "metrics.json").read_text())


def test_a_relative_model_with_every_alignment(mine, tmp_path, capsys):
    out = tmp_path / "out"
    kinds = ["median", "linear", "linear_depth", "global", "global_depth"]
    arguments = ["--model", "mini_depth_anything", "--roots", mine / "roots.yaml", "--size", 56, 70, "--out", out]
    assert run(*arguments, "--alignment", *kinds) == 0
    metrics = metrics_of(out)
    assert [entry["alignment"] for entry in metrics.values()] == kinds
    rows = index_dataset({**MINE, "root": str(mine), "name": "mine"})
    estimator, protocol = open_estimator("mini_depth_anything", device="cpu"), protocol_of(rows[0])
    pictures = [cv2.imread(row.image)[..., ::-1] for row in rows]
    values = [protocol.at_size_of(v, np.zeros((60, 80))) for v in estimator.predict(pictures, [], (56, 70))]
    truths = [load_depth(row) for row in rows]
    for kind, entry in zip(kinds, metrics.values(), strict=True):
        alignment = Alignment(kind, "disparity")
        for value, truth in zip(values, truths, strict=True):
            alignment.add(value, truth, protocol.valid(truth))
        found = [
            depth_metrics(*protocol.compare(alignment.apply(v, t, protocol.valid(t)), t))
            for number, (v, t) in enumerate(zip(values, truths, strict=True))
            if number != 3
        ]
        for name in ("abs_rel", "d1", "silog"):
            assert entry["datasets"]["mine"][name] == pytest.approx(np.mean([one[name] for one in found]), rel=1e-3), (
                kind,
                name,
            )
        assert (entry["datasets"]["mine"]["images"], entry["datasets"]["mine"]["empty"]) == (5, 1)
        assert entry["uses_ground_truth"]
        assert entry["weights"] == estimator.facts.weights
        assert entry["datasets"]["mine"]["protocol_hash"] == protocol.hash
    assert "5 images, 1 without valid depth" in capsys.readouterr().out
    per_image = read_table(out / "per_image.parquet", PER_IMAGE)
    assert len(per_image) == 25
    assert len((out / "per_image.csv").read_text().splitlines()) == 26
    picture = cv2.imread(str(out / "errors_mine.png"))
    assert picture.shape[1] > 2 * picture.shape[0], "ten tiles beside each other, three rows"
    assert len(list((out / "predictions").rglob("*.safetensors"))) == 1, "a fit over a dataset needs them twice"


def test_predicting_in_parts_then_measuring(mine, tmp_path, capsys):
    base = ["--model", "mini_depth_anything", "--roots", mine / "roots.yaml", "--size", 56, 70]
    base += ["--alignment", "linear", "--no-pictures"]
    assert run(*base, "--out", tmp_path / "whole") == 0
    for part in ("1/2", "2/2"):
        assert run(*base, "--out", tmp_path / "parts", "--part", part) == 0
    assert not (tmp_path / "parts" / "metrics.json").exists()
    capsys.readouterr()
    assert run(*base, "--out", tmp_path / "parts", "--save-predictions") == 0
    assert "predict: 0picture" in capsys.readouterr().err, "nothing is predicted again"
    assert metrics_of(tmp_path / "parts") == metrics_of(tmp_path / "whole")
    shards = tmp_path / "parts" / "predictions" / "mini_depth_anything"
    own = ["--roots", mine / "roots.yaml", "--alignment", "linear", "--no-pictures", "--out", tmp_path / "again"]
    assert run("--predictions", shards, *own) == 0
    assert metrics_of(tmp_path / "again") == metrics_of(tmp_path / "whole")


def test_predictions_of_another_program(mine, tmp_path, capsys):
    folder = tmp_path / "AdaBins"
    folder.mkdir()
    for number in range(5):
        truth = cv2.imread(str(mine / f"{number}_depth.png"), cv2.IMREAD_UNCHANGED)
        np.save(folder / f"{number}.npy", truth * 1.1)  # millimetres, a tenth too far
    arguments = ["--predictions", folder, "--roots", mine / "roots.yaml", "--out", tmp_path / "out"]
    assert run(*arguments, "--returns", "depth", "--unit", "mm", "--no-pictures") == 0
    entry = metrics_of(tmp_path / "out")["AdaBins"]
    assert entry["datasets"]["mine"]["abs_rel"] == pytest.approx(0.1, abs=1e-3)
    assert not entry["uses_ground_truth"]
    assert run(*arguments, "--returns", "depth", "--unit", "none") == 2
    assert "affine-invariant numbers: choose how to align them" in capsys.readouterr().err
    (folder / "4.npy").unlink()
    assert run(*arguments, "--returns", "depth", "--unit", "mm") == 2
    assert "lacks 1 of 5 predictions, such as 4.npy or .png" in capsys.readouterr().err
    np.save(folder / "4.npy", np.zeros(7))
    assert run(*arguments, "--returns", "depth", "--unit", "mm", "--no-pictures") == 2
    assert "4.npy has the shape (7,)" in capsys.readouterr().err
    found = metrics_of(tmp_path / "out")["AdaBins"]["datasets"]["mine"]
    assert (found["images"], found["failed"]) == (4, 1), "a failure is counted, and the others are measured"
    assert read_table(tmp_path / "out" / "errors.parquet", columns_of(ErrorRow))[0]["sample_id"] == "4"


def test_predictions_that_are_not_finite_are_failures(mine, tmp_path):
    folder = tmp_path / "other"
    write_files(folder, mine, 1.1)
    for number, part in ((0, (slice(None), slice(None))), (1, (slice(0, 2), slice(0, 3)))):
        values = np.load(folder / f"{number}.npy")
        values[part] = np.nan if number == 0 else np.inf
        np.save(folder / f"{number}.npy", values)
    arguments = ["--predictions", folder, "--roots", mine / "roots.yaml", "--no-pictures", "--out", tmp_path / "out"]
    assert run(*arguments, "--returns", "depth", "--unit", "mm", "--alignment", "global_depth") == 2
    for entry in metrics_of(tmp_path / "out").values():
        assert (
            entry["datasets"]["mine"]["images"],
            entry["datasets"]["mine"]["failed"],
            entry["datasets"]["mine"]["empty"],
        ) == (3, 2, 1)
        assert entry["datasets"]["mine"]["abs_rel"] == pytest.approx(0.0 if entry["alignment"] else 0.1, abs=1e-3)
    reasons = {
        row["sample_id"]: row["reason"] for row in read_table(tmp_path / "out" / "errors.parquet", columns_of(ErrorRow))
    }
    assert reasons["0"] == "none of the 4800 predicted numbers that count is finite"
    assert reasons["1"].startswith("6 of the 4800 predicted numbers that count are not finite")


def test_truth_that_cannot_be_read_first_of_all_and_a_wrong_scale(mine, tmp_path, capsys):
    folder = shutil.copytree(mine, tmp_path / "mine")
    whole = (folder / "0_depth.png").read_bytes()
    (folder / "0_depth.png").write_bytes(whole[:80])
    roots = tmp_path / "roots.yaml"
    roots.write_text(f"mine: {json.dumps({**MINE, 'root': str(folder)})}".replace("0.001", "1e-3"))
    write_files(tmp_path / "other", mine, 1.1)
    arguments = ["--predictions", tmp_path / "other", "--roots", roots, "--returns", "depth", "--unit", "mm"]
    assert run(*arguments, "--no-pictures", "--out", tmp_path / "out") == 2
    found = metrics_of(tmp_path / "out")["other"]["datasets"]["mine"]
    assert (found["images"], found["failed"], found["abs_rel"]) == (4, 1, pytest.approx(0.1, abs=1e-3))
    assert "0_depth.png is not a depth map" in capsys.readouterr().err
    roots.write_text(yaml.safe_dump({"mine": {**MINE, "root": str(folder), "depth_scale": 1}}))
    assert run(*arguments, "--out", tmp_path / "none") == 2
    assert "did you mean depth_scale 0.001, which makes it" in capsys.readouterr().err


@pytest.mark.parametrize(("scale", "value"), [("1E-3", 0.001), ("1e-3", 0.001), (".001", 0.001), ("5", 5.0)])
def test_factors_are_numbers_as_python_writes_them(scale, value):
    assert factor_of(scale) == value
    for wrong in ("0", "-1", "nan", "inf", "1mm"):
        with pytest.raises(argparse.ArgumentTypeError, match="is not a number above 0"):
            factor_of(wrong)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    base = tmp_path_factory.mktemp("published")
    tree_nyu.make(base / "nyu", train=0, test=2)
    (base / "ibims").mkdir()
    tree_ibims.make(base / "ibims", test=1)
    return base


def test_tr2m_with_right_and_wrong_descriptions(published, tmp_path):
    texts = {"bathroom/rgb_00000": "a small bathroom", "bathroom/rgb_00001": "a large hall"}
    lines = [{"dataset": "nyu", "sample_id": k, "source": "rsa", "variant": 0, "text": v} for k, v in texts.items()]
    write_table(tmp_path / "texts.parquet", columns_of(DescriptionRow), lines)
    arguments = ["--model", "tr2m_mini", "--datasets", f"nyu={published / 'nyu'}", "--size", 112, 140]
    arguments += ["--text-tables", tmp_path / "texts.parquet", "--which-text", "right", "wrong_scene", "wrong_domain"]
    out = tmp_path / "out"
    assert run(*arguments, "--wrong-text", "An endoscopic view of the colon.", "--out", out) == 0
    metrics = metrics_of(out)
    right, scene, _ = metrics.values()
    assert [m["about"]["description"] for m in metrics.values()] == ["right", "wrong_scene", "wrong_domain"]
    assert len({m["datasets"]["nyu"]["abs_rel"] for m in metrics.values()}) == 3
    assert right["datasets"]["nyu"]["protocol"] == "release"
    assert right["datasets"]["nyu"]["protocol_hash"] == load_protocol("release", "nyu").hash
    for number in ("1", "10"):
        assert "TR2M (tr2m_mini)" in (out / f"table_{number}.md").read_text()
    assert "wrong" not in (out / "table_1.md").read_text()
    # Swapping two sentences by hand gives what the rule for wrong scenes gave.
    swapped = dict(zip(texts, reversed(texts.values()), strict=True))
    lines = [{**line, "text": swapped[line["sample_id"]]} for line in lines]
    write_table(tmp_path / "texts.parquet", columns_of(DescriptionRow), lines)
    arguments = arguments[: arguments.index("--which-text")]
    assert run(*arguments, "--out", tmp_path / "swapped", "--no-pictures") == 0
    assert (
        metrics_of(tmp_path / "swapped")["TR2M (tr2m_mini)"]["datasets"]["nyu"]["abs_rel"]
        == scene["datasets"]["nyu"]["abs_rel"]
    )


def test_pictures_without_a_wrong_sentence_are_passed_over(published, tmp_path, capsys):
    tree_kitti.make(tmp_path / "kitti", train=0, test=2, none=0)
    rows = index_dataset({"type": "kitti", "root": str(tmp_path / "kitti"), "splits": ["test"]})
    lines = [{**vars(row), "source": "s", "variant": 0, "text": f"street {i}"} for i, row in enumerate(rows)]
    write_table(tmp_path / "texts.parquet", columns_of(DescriptionRow), lines)
    arguments = ["--model", "tr2m_mini", "--datasets", f"nyu={published / 'nyu'}", f"kitti={tmp_path / 'kitti'}"]
    arguments += ["--size", 56, 140, "--text", "a room", "--text-tables", tmp_path / "texts.parquet"]
    assert run(*arguments, "--which-text", "wrong_scene", "right", "--save-predictions", "--out", tmp_path / "out") == 0
    wrong, right = metrics_of(tmp_path / "out").values()
    assert (wrong["datasets"]["nyu"]["images"], wrong["datasets"]["kitti"]["images"]) == (0, 2), (
        "the rooms have one sentence between them"
    )
    assert (right["datasets"]["nyu"]["images"], right["datasets"]["kitti"]["images"]) == (2, 2)
    assert (tmp_path / "out" / "errors_nyu.png").is_file()
    nyu = ["--model", "tr2m_mini", "--datasets", f"nyu={published / 'nyu'}", "--size", 56, 70, "--text", "a room"]
    assert run(*nyu, "--which-text", "wrong_domain", "--out", tmp_path) == 2
    assert "no picture has a sentence of the kind wrong domain: give one with --wrong-text" in capsys.readouterr().err


def test_flip_averaging_is_the_mean_with_the_mirror_image(published, tmp_path):
    base = ["--model", "mini_depth_anything", "--alignment", "linear", "--size", 112, 140, "--no-pictures"]
    base += ["--datasets", f"ibims={published / 'ibims'}", "--save-predictions"]
    assert run(*base, "--out", tmp_path / "plain") == 0
    assert run(*base, "--out", tmp_path / "flip", "--set", "flip_average=true") == 0
    plain, flip = (next(iter(metrics_of(tmp_path / name).values()))["datasets"]["ibims"] for name in ("plain", "flip"))
    assert (plain["protocol"], flip["protocol"]) == ("release", "release*")
    assert plain["protocol_hash"] != flip["protocol_hash"]
    (row,) = index_dataset({"type": "ibims", "root": str(published / "ibims")})
    picture = cv2.imread(row.image)[..., ::-1]
    estimator = open_estimator("mini_depth_anything", device="cpu")
    (one,) = estimator.predict([picture], [], (112, 140))
    (other,) = estimator.predict([picture[:, ::-1].copy()], [], (112, 140))
    stored = StoredPredictions(tmp_path / "flip/predictions/mini_depth_anything/ibims")[row.sample_id]
    np.testing.assert_allclose(stored, (one + other[:, ::-1]) / 2, rtol=1e-5)


def test_an_unreadable_picture_is_counted_and_named(published, mine, tmp_path, capsys):
    broken = tmp_path / "mine"
    broken.mkdir()
    for number in range(3):
        for kind in ("rgb", "depth"):
            (broken / f"{number}_{kind}.png").write_bytes((mine / f"{number}_{kind}.png").read_bytes())
    (broken / "1_rgb.png").write_bytes(b"no picture")
    (tmp_path / "roots.yaml").write_text(yaml.safe_dump([{**MINE, "root": str(broken), "name": "mine"}]))
    arguments = ["--model", "mini_depth_anything", "--alignment", "linear", "--roots", tmp_path / "roots.yaml"]
    assert run(*arguments, "--size", 56, 70, "--out", tmp_path / "out") == 2
    found = next(iter(metrics_of(tmp_path / "out").values()))["datasets"]["mine"]
    assert (found["images"], found["failed"]) == (2, 1)
    assert "mine/1: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "m"], "there is no file of roots: name datasets as NAME=FOLDER"),
        (["--model", "m", "--roots", "no.yaml"], "no.yaml does not exist"),
        ([], "give models with --model, or predictions on disk"),
        (["--model", "tr2m_mini", "--datasets", "moon"], "moon has no root"),
        (["--model", "tr2m_mini", "--datasets", "nyu=/nowhere"], "/nowhere is not a folder: give the root of NYU"),
        (["--model", "tr2m_mini", "--datasets", "moon=/tmp"], "type must be one of nyu, kitti"),
        (["--model", "m", "--size", "1", "2", "3"], "--size is protocol, model, or height and width"),
        (["--model", "m", "--part", "3/2"], "--part is K/N with K from 1 to N"),
        (["--model", "m", "--unit", "m"], "--unit needs --returns"),
        (["--model", "m", "--returns", "depth"], "--returns needs --unit"),
        (["--model", "m", "--set", "a"], "options are NAME=VALUE"),
        (["--model", "m", "--set", "crop=["], "crop is not YAML: "),
        (["--model", "m", "--alignment", "cubic"], "alignment must be one of median"),
        (["--model", "m", "--which-text", "left"], "descriptions are right, wrong_scene, wrong_domain, not left"),
        (["--model", "m", "--also", "no.json"], "no.json does not exist"),
        (["--predictions", "p", "--weights", "w"], "--part and --weights are for models"),
        (["--predictions", "p", "--part", "1/2"], "--part predicts: it needs --model"),
    ],
)
def test_wrong_arguments_are_said(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    assert message in capsys.readouterr().err


def test_missing_descriptions_and_unknown_options(published, tmp_path, capsys):
    nyu = ["--model", "tr2m_mini", "--datasets", f"nyu={published / 'nyu'}", "--out", tmp_path]
    assert run(*nyu) == 2
    assert "2 of 2 pictures have no description, such as nyu/bathroom/rgb_00000" in capsys.readouterr().err
    assert run(*nyu, "--text", "a", "--which-text", "left") == 2
    assert "descriptions are right, wrong_scene, wrong_domain, not left" in capsys.readouterr().err
    assert run(*nyu, "--text", "a", "--set", "moon=1") == 2
    assert "protocols have no option moon" in capsys.readouterr().err
    assert run(*nyu, "--text", "a", "--protocol", "mars") == 2
    assert "there is no protocol 'mars' for 'nyu'" in capsys.readouterr().err


def write_files(folder, mine, factor, broken=()):
    folder.mkdir(parents=True)
    for number in range(5):
        truth = cv2.imread(str(mine / f"{number}_depth.png"), cv2.IMREAD_UNCHANGED)
        np.save(folder / f"{number}.npy", np.zeros(7) if number in broken else truth * factor)


def test_programs_of_one_name_are_kept_apart_and_a_failure_is_its_own(mine, tmp_path):
    for name, factor, broken in (("a", 0.9, ()), ("b", 0.7, (1,)), ("c", 0.5, ())):
        write_files(tmp_path / name / "run", mine, factor, broken)
    folders = [tmp_path / name / "run" for name in "abc"]
    arguments = ["--predictions", *folders, "--returns", "depth", "--unit", "mm", "--roots", mine / "roots.yaml"]
    assert run(*arguments, "--out", tmp_path / "out") == 2
    found = metrics_of(tmp_path / "out")
    assert {name: round(entry["datasets"]["mine"]["abs_rel"], 1) for name, entry in found.items()} == {
        "run": 0.1,
        "run (2)": 0.3,
        "run (3)": 0.5,
    }
    assert [
        (entry["datasets"]["mine"]["images"], entry["datasets"]["mine"].get("failed")) for entry in found.values()
    ] == [
        (5, None),
        (4, 1),
        (5, None),
    ]
    (row,) = read_table(tmp_path / "out" / "errors.parquet", {**columns_of(ErrorRow), "method": ""})
    assert (row["method"], row["sample_id"]) == ("run (2)", "1")
    shutil.rmtree(folders[1])
    write_files(folders[1], mine, 0.7)
    assert run(*arguments, "--out", tmp_path / "out") == 0
    assert not (tmp_path / "out" / "errors.parquet").exists(), "what is repaired is no failure"


def test_what_was_measured_before_a_mistake_stays(mine, tmp_path, capsys):
    arguments = [
        "--roots",
        mine / "roots.yaml",
        "--alignment",
        "linear",
        "--size",
        56,
        70,
        "--out",
        tmp_path,
        "--no-pictures",
    ]
    assert run("--model", "mini_depth_anything", tmp_path / "typo", *arguments) == 2
    assert "no AutoConfig found" in capsys.readouterr().err
    assert list(metrics_of(tmp_path)) == ["mini_depth_anything linear fit"]
    also = ["--also", tmp_path / "metrics.json", "--model", "mini_depth_anything"]
    assert run(*also, *arguments[:-3], "--out", tmp_path / "again", "--no-pictures") == 0
    text = (tmp_path / "again" / "dataset_mine.md").read_text()
    assert text.count("| mini_depth_anything linear fit") == 1, "the same run twice is one row"
    assert run("--model", "mini_depth_anything", *arguments, "--also", tmp_path / "no.json") == 2
    assert "predict" not in capsys.readouterr().out


def test_saved_predictions_are_of_their_sentence_and_picture(published, tmp_path):
    base = ["--model", "tr2m_mini", "--datasets", f"nyu={published / 'nyu'}", "--size", 56, 70, "--no-pictures"]
    texts = ("a kitchen", "an endoscopic view of the colon")
    for text in texts:
        assert run(*base, "--text", text, "--out", tmp_path / "fresh" / text) == 0
        assert run(*base, "--text", text, "--save-predictions", "--out", tmp_path / "kept") == 0
        one, other = (
            metrics_of(path)["TR2M (tr2m_mini)"]["datasets"]["nyu"]
            for path in (tmp_path / "fresh" / text, tmp_path / "kept")
        )
        assert one == other


def test_hashes_cover_how_files_are_read(tmp_path, capsys):
    tree_sun_rgbd.make(tmp_path / "sun", train=0, test=1)
    entries = {
        "plain": {"type": "sun_rgbd", "root": str(tmp_path / "sun")},
        "metres": {"type": "sun_rgbd", "root": str(tmp_path / "sun"), "encoding": "rotated"},
    }
    (tmp_path / "roots.yaml").write_text(yaml.safe_dump(entries))
    arguments = ["--model", "mini_depth_anything", "--alignment", "linear", "--size", 56, 70, "--no-pictures"]
    arguments += ["--roots", tmp_path / "roots.yaml"]
    assert run(*arguments, "--out", tmp_path / "out") == 0
    ((_, entry),) = metrics_of(tmp_path / "out").items()
    plain, metres = entry["datasets"]["plain"], entry["datasets"]["metres"]
    assert plain["abs_rel"] != metres["abs_rel"]
    assert (plain["protocol"], metres["protocol"]) == ("release", "release*")
    assert plain["protocol_hash"] == load_protocol("release", "sun_rgbd").hash != metres["protocol_hash"]
    assert run(*arguments, "--set", "reader.encoding=rotated", "--out", tmp_path / "set") == 0
    ((_, entry),) = metrics_of(tmp_path / "set").items()
    assert entry["datasets"]["plain"] == entry["datasets"]["metres"] == metres, "what --set says comes last"


def test_shards_of_other_inputs_are_refused(published, tmp_path, capsys):
    base = ["--model", "mini_depth_anything", "--alignment", "linear", "--size", 56, 70, "--no-pictures"]
    nyu = ["--datasets", f"nyu={published / 'nyu'}"]
    assert run(*base, *nyu, "--save-predictions", "--out", tmp_path / "out") == 0
    again = [
        "--predictions",
        tmp_path / "out/predictions/mini_depth_anything",
        *nyu,
        "--alignment",
        "linear",
        "--no-pictures",
    ]
    assert run(*again, "--set", "crop=nyu_eigen_scaled", "--out", tmp_path / "again") == 0, "measured otherwise"
    assert run(*again, "--protocol", "zoedepth", "--out", tmp_path / "again") == 2
    assert "was predicted from other inputs" in capsys.readouterr().err


def test_metres_become_millimetres_where_the_dataset_has_them(mine, tmp_path, capsys):
    entry = {**MINE, "root": str(mine), "depth_scale": 1, "unit": "mm", "depth_range": [300, 8000]}
    (tmp_path / "mm.yaml").write_text(yaml.safe_dump({"mine": entry}))
    base = ["--model", "tr2m_mini", "--text", "a kitchen", "--size", 56, 70, "--no-pictures"]
    found = {}
    for name, roots, more in (
        ("m", mine / "roots.yaml", []),
        ("mm", tmp_path / "mm.yaml", []),
        ("raw", tmp_path / "mm.yaml", ["--returns", "depth", "--unit", "dataset"]),
    ):
        assert run(*base, "--roots", roots, *more, "--out", tmp_path / name) == 0
        found[name] = metrics_of(tmp_path / name)["TR2M (tr2m_mini)"]["datasets"]["mine"]
    assert found["mm"]["abs_rel"] == pytest.approx(found["m"]["abs_rel"], rel=1e-3)
    assert found["raw"]["abs_rel"] > found["mm"]["abs_rel"]
    again = [*base, "--roots", tmp_path / "mm.yaml", "--save-predictions", "--out", tmp_path / "kept"]
    assert run(*again) == 0
    assert run(*again, "--returns", "depth", "--unit", "dataset") == 2, "kept ones mean something else"
    metres = ["--predictions", tmp_path / "kept/predictions/TR2M_tr2m_mini", "--roots", mine / "roots.yaml"]
    assert run(*metres, "--out", tmp_path / "other") == 2
    assert "or for another unit" in capsys.readouterr().err


def test_kinds_are_reproduced_only_for_whole_published_data(published, mine, tmp_path, monkeypatch):
    arguments = ["evaluate", "--model", "mini_depth_anything", "--alignment", "linear", "--size", "56", "70"]
    arguments += ["--no-pictures", "--device", "cpu", "--workers", "0", "--datasets", f"nyu={published / 'nyu'}"]
    assert main([*arguments, "--out", str(tmp_path / "part")]) == 0
    ((_, entry),) = metrics_of(tmp_path / "part").items()
    assert (entry["kind"], entry["datasets"]["nyu"]["kind"], entry["datasets"]["nyu"]["published"]) == (
        "fixture",
        "fixture",
        654,
    )
    assert "2 of 654 images" in (tmp_path / "part" / "table_1.md").read_text()
    monkeypatch.setattr(NYUv2, "counts", {"train": 24231, "test": 2})
    assert main([*arguments, "--out", str(tmp_path / "whole")]) == 0
    ((_, entry),) = metrics_of(tmp_path / "whole").items()
    assert entry["kind"] == "reproduced"
    own = tmp_path / "release"
    own.mkdir()
    (own / "nyu.yaml").write_text("{depth_range: [0.001, 3], name: release}")
    assert main([*arguments, "--protocol", str(own), "--out", str(tmp_path / "own")]) == 0
    ((_, entry),) = metrics_of(tmp_path / "own").items()
    assert (entry["kind"], entry["datasets"]["nyu"]["protocol"]) == ("fixture", "release*"), (
        "only the package's is published"
    )
    assert main([*arguments, "--set", "crop=garg", "--out", str(tmp_path / "other")]) == 0
    ((_, entry),) = metrics_of(tmp_path / "other").items()
    assert entry["kind"] == "fixture"


def test_an_interruption_keeps_what_was_predicted(mine, tmp_path, monkeypatch, capsys):
    from tr2m_plugin.benchmark import estimators

    predicted = estimators.RelativeEstimator.predict
    calls = []

    def interrupted(self, images, texts, size=None):
        calls.append(len(images))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return predicted(self, images, texts, size)

    monkeypatch.setattr(estimators.RelativeEstimator, "predict", interrupted)
    arguments = ["--model", "mini_depth_anything", "--alignment", "linear", "--size", 56, 70, "--no-pictures"]
    arguments += ["--roots", mine / "roots.yaml", "--save-predictions", "--batch-size", 2, "--out", tmp_path]
    assert run(*arguments) == 130
    assert run(*arguments) == 0
    assert calls == [2, 2, 2, 1], "the first two are not predicted again"


def test_a_picture_that_the_model_cannot_take_is_one_failure(mine, tmp_path, monkeypatch):
    from tr2m_plugin.benchmark import estimators

    predicted = estimators.RelativeEstimator.predict

    def picky(self, images, texts, size=None):
        if any((image == refused).all() for image in images):
            raise InputError("not this one")
        return predicted(self, images, texts, size)

    refused = cv2.imread(str(mine / "2_rgb.png"))[..., ::-1]
    monkeypatch.setattr(estimators.RelativeEstimator, "predict", picky)
    arguments = ["--model", "mini_depth_anything", "--alignment", "linear", "--size", 56, 70, "--no-pictures"]
    assert run(*arguments, "--roots", mine / "roots.yaml", "--out", tmp_path) == 2
    ((_, entry),) = metrics_of(tmp_path).items()
    assert (entry["datasets"]["mine"]["images"], entry["datasets"]["mine"]["failed"]) == (4, 1)


def test_parts_from_another_machine_fit(mine, tmp_path, capsys):
    base = ["--model", "mini_depth_anything", "--size", 56, 70, "--alignment", "linear", "--no-pictures"]
    base += ["--out", tmp_path / "out"]
    assert run(*base, "--roots", mine / "roots.yaml", "--part", "1/1") == 0
    elsewhere = shutil.copytree(mine, tmp_path / "elsewhere")
    (elsewhere / "roots.yaml").write_text(yaml.safe_dump({"mine": {**MINE, "root": str(elsewhere)}}))
    capsys.readouterr()
    assert run(*base, "--roots", elsewhere / "roots.yaml", "--save-predictions") == 0
    assert "predict: 0picture" in capsys.readouterr().err
    picture = cv2.imread(str(elsewhere / "0_rgb.png"))
    cv2.imwrite(str(elsewhere / "0_rgb.png"), 255 - picture)
    assert run(*base, "--roots", elsewhere / "roots.yaml", "--save-predictions") == 0
    assert "0/1 [" in capsys.readouterr().err, "a picture that is another is predicted anew"


def test_predictions_of_several_datasets_lie_in_folders_of_their_names(mine, tmp_path, capsys):
    entries = {name: {**MINE, "root": str(mine)} for name in ("one room", "other")}
    (tmp_path / "roots.yaml").write_text(yaml.safe_dump(entries))
    write_files(tmp_path / "flat", mine, 1.1)
    arguments = ["--returns", "depth", "--unit", "mm", "--roots", tmp_path / "roots.yaml", "--out", tmp_path / "out"]
    assert run("--predictions", tmp_path / "flat", *arguments) == 2
    assert "has no folder one room: predictions of several datasets" in capsys.readouterr().err
    for name in ("one_room", "other"):
        write_files(tmp_path / "sorted" / name, mine, 1.1)
    assert run("--predictions", tmp_path / "sorted", *arguments) == 0
    assert set(metrics_of(tmp_path / "out")["sorted"]["datasets"]) == {"one room", "other"}
    assert (tmp_path / "out" / "dataset_one_room.md").is_file()


def test_a_picture_that_cannot_be_drawn_costs_no_numbers(mine, tmp_path):
    broken = shutil.copytree(mine, tmp_path / "mine")
    (tmp_path / "roots.yaml").write_text(yaml.safe_dump({"mine": {**MINE, "root": str(broken)}}))
    write_files(tmp_path / "A", mine, 1.1)
    arguments = ["--predictions", tmp_path / "A", "--returns", "depth", "--unit", "mm"]
    for number in range(1, 5):  # the first is looked at for its size
        path = broken / f"{number}_rgb.png"
        path.write_bytes(path.read_bytes()[:2000])
    assert run(*arguments, "--roots", tmp_path / "roots.yaml", "--out", tmp_path / "out") == 2
    assert metrics_of(tmp_path / "out")["A"]["datasets"]["mine"]["images"] == 5
    assert (tmp_path / "out" / "errors_mine.png").is_file()
