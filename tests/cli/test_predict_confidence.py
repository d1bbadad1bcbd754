import json

import cv2
import numpy as np
import pytest

from tr2m_plugin.cli import main
from tr2m_plugin.datasets.pictures import is_prediction
from tr2m_plugin.inference.confidence import PARAPHRASES

TEXT, OTHER = "A small kitchen with a table.", "A room with furniture."


@pytest.fixture
def predict(tmp_path):
    """The command with tr2m_mini on one picture of 20 × 30; gives its status and the folder that it wrote."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8))

    def run(*arguments, out="out"):
        named = ["--out", str(tmp_path / out), "--device", "cpu", "--model", "tr2m_mini"]
        return main(["predict", str(folder), *named, *arguments]), tmp_path / out

    return run


def test_the_files_and_the_depth_that_stays(predict):
    assert predict("--text", TEXT, out="plain")[0] == 0
    status, out = predict("--text", TEXT, "--text", OTHER, "--confidence")
    assert status == 0
    plain = out.with_name("plain")
    names = {path.name for path in out.iterdir()} - {path.name for path in plain.iterdir()}
    assert names == {"a_confidence.npy", "a_confidence.png"}
    for name in ("a.npy", "a_depth.png", "a_color.png"):
        assert (out / name).read_bytes() == (plain / name).read_bytes()
    spread = np.load(out / "a_confidence.npy")
    assert (spread.shape, spread.dtype) == ((20, 30), np.float32)
    assert spread.min() > 0
    facts = json.loads((out / "a.json").read_text())
    assert facts["files"][-2:] == ["a_confidence.npy", "a_confidence.png"]
    told = facts["confidence"]
    assert (told["sentences"], told["mirrored"]) == ([TEXT, OTHER], True)
    assert "the larger, the less sure; not calibrated" in told["meaning"]
    assert told["median"] == pytest.approx(np.median(spread), rel=1e-5)
    assert told["percentile_95"] == pytest.approx(np.percentile(spread, 95), rel=1e-5)
    without = json.loads((plain / "a.json").read_text())
    assert without.pop("confidence") is None
    assert {**without, "files": 0} == {**{k: v for k, v in facts.items() if k != "confidence"}, "files": 0}


def test_the_picture_is_darkest_where_predictions_agree(predict):
    _, out = predict("--text", TEXT, "--confidence")
    shown = cv2.imread(str(out / "a_confidence.png")).sum(2)
    spread = np.load(out / "a_confidence.npy")
    inner = shown[shown.shape[0] - 8 - 400 : shown.shape[0] - 8, 8:608]
    places = [np.argwhere(spread == end)[0] for end in (spread.min(), spread.max())]
    dark, bright = (inner[int((v + 0.5) * 20), int((u + 0.5) * 20)] for v, u in places)
    assert dark < bright - 100
    assert json.loads((out / "a.json").read_text())["confidence"]["sentences"][1:] == [
        form.format(TEXT) for form in PARAPHRASES
    ]


def test_a_prediction_without_takes_the_files_of_one_with_away(predict):
    _, out = predict("--text", TEXT, "--confidence")
    assert is_prediction(out / "a_confidence.png")
    assert predict("--text", TEXT)[0] == 0
    assert sorted(path.name for path in out.iterdir()) == ["a.json", "a.npy", "a_color.png", "a_depth.png"]


def test_a_file_of_that_name_stays_and_matters_only_to_confidence(predict, capsys):
    """As of another picture that is called so, or of another program."""
    out = predict("--text", TEXT)[1]
    (out / "a_confidence.npy").write_text("somebody's")
    assert predict("--text", TEXT)[0] == 0
    assert predict("--text", TEXT, "--confidence")[0] == 2
    assert "a_confidence.npy is there already and is not of a prediction of this picture" in capsys.readouterr().err
    assert (out / "a_confidence.npy").read_text() == "somebody's"


def test_lines_of_the_text_file_are_sentences(predict, tmp_path):
    (tmp_path / "pictures" / "a.txt").write_text(f"{TEXT}\n{OTHER}\n")
    status, out = predict("--confidence")
    assert status == 0
    assert json.loads((out / "a.json").read_text())["confidence"]["sentences"] == [TEXT, OTHER]


def test_several_sentences_are_for_confidence(predict, capsys):
    status, out = predict("--text", TEXT, "--text", OTHER)
    assert status == 2
    assert "several sentences are for --confidence" in capsys.readouterr().err
    assert not out.exists()
    assert predict("--text", TEXT, "--text", " ", "--confidence")[0] == 2
    assert "further sentence 1 is empty" in capsys.readouterr().err
