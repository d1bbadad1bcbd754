"""`tr2m evaluate` as its users call it, on a folder of one's own and on small trees of published datasets."""

import shutil

import cv2
import numpy as np
import pytest
import torch
import yaml

from tests.support import tree_kitti
from tests.support.evaluating import MINE, metrics_of, run, write_files
from tr2m_plugin.benchmark import report
from tr2m_plugin.benchmark.conditions import DESCRIPTIONS, spoilt_texts
from tr2m_plugin.benchmark.datasets import index_dataset
from tr2m_plugin.benchmark.estimators import open_estimator
from tr2m_plugin.benchmark.predictions import StoredPredictions
from tr2m_plugin.benchmark.results import PER_IMAGE
from tr2m_plugin.cli import main
from tr2m_plugin.datasets.parquet import columns_of, read_table, write_table
from tr2m_plugin.datasets.readers import load_depth
from tr2m_plugin.datasets.readers.nyu import NYUv2
from tr2m_plugin.errors import InputError
from tr2m_plugin.evaluation import depth_metrics, load_protocol, protocol_of
from tr2m_plugin.evaluation.alignment import Alignment
from tr2m_plugin.inference.inferencer import TR2MInferencer
from tr2m_plugin.rows import DescriptionRow
from tr2m_plugin.tensors import stretch_image

RETURNS = '{"space": "depth", "metric": True, "unit": "m"}'


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
    assert cv2.imread(str(out / "corrections_nyu.png")).shape[0] > 800, "two pictures, two lines each"
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


def test_spoilt_descriptions_are_the_right_ones_changed(published, tmp_path):
    """Whatever is done to a sentence, the unit is that of the right one; what nothing is done to is passed over."""
    texts = {"bathroom/rgb_00000": "An endoscopic view of the colon.", "bathroom/rgb_00001": "hall"}

    def arguments(sentences, name):
        lines = [
            {"dataset": "nyu", "sample_id": k, "source": "s", "variant": 0, "text": v} for k, v in sentences.items()
        ]
        write_table(tmp_path / f"{name}.parquet", columns_of(DescriptionRow), lines)
        given = ["--model", "tr2m_mini", "--datasets", f"nyu={published / 'nyu'}", "--size", 112, 140, "--no-pictures"]
        return [*given, "--text-tables", tmp_path / f"{name}.parquet", "--out", tmp_path / name]

    assert run(*arguments(texts, "out"), "--which-text", "truncated", "misspelt", "empty", "--seed", 1) == 0
    half, misspelt, empty = (entry["datasets"]["nyu"] for entry in metrics_of(tmp_path / "out").values())
    assert (half["images"], misspelt["images"], empty["images"]) == (1, 2, 2)
    keyed = {f"nyu/{sample}": text for sample, text in texts.items()}
    by_hand = {key.removeprefix("nyu/"): text for key, text in spoilt_texts(keyed, "misspelt", 1).items()}
    own = ["--returns", "depth", "--unit", "mm"]
    assert run(*arguments(by_hand, "hand"), *own) == 0
    assert metrics_of(tmp_path / "hand")["TR2M (tr2m_mini)"]["seed"] == 0
    per_image = {
        name: {
            (row["method"].partition(", ")[2], row["sample_id"]): row["abs_rel"]
            for row in read_table(tmp_path / name / "per_image.parquet", PER_IMAGE)
        }
        for name in ("out", "hand")
    }
    colon = "bathroom/rgb_00000"
    assert per_image["out"]["a misspelt description", colon] == per_image["hand"]["", colon]
    table = (tmp_path / "out" / "table_10.md").read_text()
    assert all(f"| {DESCRIPTIONS[kind].heading} |" in table for kind in ("truncated", "misspelt", "empty"))
    assert not (tmp_path / "out" / "table_1.md").exists()


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


def test_networks_see_pictures_without_mean_and_deviation(published, tmp_path, monkeypatch, capsys):
    """As the release's loader of iBims-1 leaves them; nothing else of the evaluation changes."""
    base = [
        "--model",
        "tr2m_mini",
        "--datasets",
        f"ibims={published / 'ibims'}",
        "--size",
        112,
        140,
        "--text",
        "A room.",
    ]
    base += ["--save-predictions", "--no-pictures"]
    seen = []
    given = TR2MInferencer.forward

    def forward(self, batch):
        with torch.no_grad():
            seen.append(self.model.data_preprocessor(batch)["inputs"][0].numpy())
        return given(self, batch)

    monkeypatch.setattr(TR2MInferencer, "forward", forward)
    assert run(*base, "--out", tmp_path / "plain", "--set", "normalize=false") == 0
    assert run(*base, "--out", tmp_path / "usual") == 0
    (row,) = index_dataset({"type": "ibims", "root": str(published / "ibims")})
    pixels = stretch_image(cv2.imread(row.image)[..., ::-1], (112, 140)).transpose(2, 0, 1) / 255
    np.testing.assert_allclose(seen[0], pixels, atol=1e-5)
    mean, std = (np.reshape(v, (3, 1, 1)) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    np.testing.assert_allclose(seen[1], (pixels - mean) / std, atol=1e-4)
    plain, usual = (metrics_of(tmp_path / k)["TR2M (tr2m_mini)"]["datasets"]["ibims"] for k in ("plain", "usual"))
    assert (plain["protocol"], usual["protocol"]) == ("release*", "release")
    assert plain["abs_rel"] != usual["abs_rel"]
    assert usual["protocol_hash"] == load_protocol("release", "ibims").hash
    stored = ["--predictions", tmp_path / "plain/predictions/TR2M_tr2m_mini/ibims", *base[2:4], "--out", tmp_path / "x"]
    assert run(*stored) == 2
    assert "was predicted from other inputs" in capsys.readouterr().err


def test_what_takes_no_such_pictures_is_refused(published, tmp_path, capsys):
    (tmp_path / "mine.py").write_text("class Mine:\n    returns = {}\n    predict = print\n".replace("{}", RETURNS))
    base = ["--model", f"{tmp_path / 'mine.py'}:Mine", "--datasets", f"ibims={published / 'ibims'}"]
    assert run(*base, "--set", "normalize=false", "--out", tmp_path / "out") == 2
    assert "pictures that are not normalised, which Mine does not take here" in capsys.readouterr().err
    assert run(*base, "--set", "normalize=maybe", "--out", tmp_path / "out") == 2
    assert "normalize must be true or false, not 'maybe'" in capsys.readouterr().err


def test_where_maps_mend_relative_depth_is_drawn(published, mine, tmp_path, monkeypatch):
    """Of the first model that has maps, for the pictures of the error maps, whatever else is measured."""
    drawn = {}
    monkeypatch.setattr(report, "draw_corrections", lambda path, examples, *_: drawn.update({path.name: examples}))
    out = tmp_path / "out"
    base = ["--datasets", f"ibims={published / 'ibims'}", "--size", 112, 140, "--text", "A room."]
    models = ["--model", "mini_depth_anything", "tr2m_mini", "--alignment", "linear"]
    assert run(*models, *base, "--out", out) == 0
    ((name, (shown,)),) = drawn.items()
    assert (name, shown.title, shown.text) == ("corrections_ibims.png", "only", "A room.")
    (row,) = index_dataset({"type": "ibims", "root": str(published / "ibims")})
    protocol, truth = protocol_of(row), load_depth(row)
    valid = protocol.valid(truth)
    numbers = {name: entry["datasets"]["ibims"]["abs_rel"] for name, entry in metrics_of(out).items()}
    made = protocol.at_size_of(1 / (shown.scale * shown.relative + shown.shift), truth)
    np.testing.assert_allclose(protocol.clamped(made)[valid], shown.depth[valid], rtol=1e-3)
    found = depth_metrics(shown.depth[valid], truth[valid])["abs_rel"]
    assert found == pytest.approx(numbers["TR2M (tr2m_mini)"], abs=1e-4)
    relative = protocol.at_size_of(shown.relative, truth)[valid].astype(np.float64)
    line = np.polynomial.Polynomial.fit(relative, 1 / truth[valid].astype(np.float64), 1)
    fit = protocol.clamped(1 / np.maximum(line(relative), 1e-9))
    np.testing.assert_allclose(shown.fit[valid], fit, rtol=1e-3)
    assert (shown.truth > 0).sum() == valid.sum()
    drawn.clear()
    assert run(*models, *base, "--out", out, "--no-pictures") == 0
    assert run(*models[:2], *models[3:], *base, "--out", out) == 0
    assert drawn == {}, "relative depth alone has no maps"


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
        (
            ["--model", "m", "--which-text", "left"],
            "descriptions are right, wrong_scene, wrong_domain, truncated, misspelt, empty, not left",
        ),
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
    assert (
        "descriptions are right, wrong_scene, wrong_domain, truncated, misspelt, empty, not left"
        in capsys.readouterr().err
    )
    assert run(*nyu, "--text", "a", "--set", "moon=1") == 2
    assert "protocols have no option moon" in capsys.readouterr().err
    assert run(*nyu, "--text", "a", "--protocol", "mars") == 2
    assert "there is no protocol 'mars' for 'nyu'" in capsys.readouterr().err


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
