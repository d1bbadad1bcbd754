"""`tr2m evaluate` on predictions that lie on the disk, its own and other programs'."""

import argparse
import json
import shutil

import cv2
import numpy as np
import pytest
import yaml

from tests.support import tree_sun_rgbd
from tests.support.evaluating import MINE, metrics_of, run, write_files
from tr2m_plugin.cli.options import factor as factor_of
from tr2m_plugin.datasets.parquet import columns_of, read_table
from tr2m_plugin.evaluation import load_protocol
from tr2m_plugin.rows import ErrorRow


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
