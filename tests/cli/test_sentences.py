"""Where `tr2m predict` takes its sentences from."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from tests.support.chat_server import serving
from tests.support.tiny_captioners import save_captioner
from tr2m_plugin.cli import main
from tr2m_plugin.description.describers import command_names
from tr2m_plugin.description.prompts import PROMPTS
from tr2m_plugin.description.templates import SCENES


@pytest.fixture
def pictures(tmp_path):
    """Three pictures, the first of which has its sentence beside it."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, value in (("a", 40), ("b", 90), ("c", 140)):
        cv2.imwrite(str(folder / f"{name}.png"), np.full((20, 30, 3), value, np.uint8))
    (folder / "a.txt").write_text("A kitchen of my own.\n")
    return folder


@pytest.fixture
def predict(trained, pictures, tmp_path):
    """The command on the pictures; gives its status and the sentences of the predictions by name."""

    def run(*arguments):
        out = tmp_path / "out"
        files = ["--model", str(trained / "model"), "--device", "cpu", "--out", str(out)]
        status = main(["predict", str(pictures), *files, *arguments])
        facts = {path.stem: json.loads(path.read_text()) for path in out.glob("*.json")}
        return status, {name: (fact["text"], fact["unit"]) for name, fact in facts.items()}

    return run


@pytest.mark.parametrize(("scene", "unit"), [("indoor", "m"), ("outdoor", "m"), ("colon", "mm")])
def test_a_scene_is_for_pictures_without_a_sentence(predict, scene, unit):
    status, texts = predict("--scene", scene)
    assert status == 0
    assert texts == {"a": ("A kitchen of my own.", "m"), "b": (SCENES[scene], unit), "c": (SCENES[scene], unit)}


def test_no_sentence_shows_the_ways_before_anything_is_loaded(pictures, capsys):
    (pictures / "a.txt").unlink()
    assert main(["predict", str(pictures), "--model", "nowhere"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"tr2m: {pictures / 'a.png'} has no description, nor have the other 2: give --text")
    for way in ("text file beside", "--scene indoor|outdoor|colon", "--describe NAME (llava-vicuna, ", "openai"):
        assert way in error
    assert error.count("\n") == 1
    assert main(["predict", str(pictures / "b.png")]) == 2
    assert "b.png has no description: give" in capsys.readouterr().err


def test_who_has_a_sentence_is_done_and_the_others_are_named(predict, pictures, capsys):
    (pictures / "b.txt").write_text("")
    status, texts = predict()
    assert status == 2
    assert texts == {"a": ("A kitchen of my own.", "m")}
    error = capsys.readouterr().err
    assert "c.png has no description\n" in error
    assert "b.txt holds no text" in error
    assert "for those without a description give --text" in error
    assert "2 of 3 pictures failed" in error


def test_a_describer_goes_first(predict, tmp_path, capsys):
    save_captioner("blip", tmp_path / "blip")
    status, texts = predict(
        "--describe", "blip", "--describe-options", f"model={tmp_path / 'blip'}", "max_new_tokens=6"
    )
    assert status == 0
    out = capsys.readouterr().out
    assert set(texts) == {"a", "b", "c"}
    assert texts["a"][0] == "A kitchen of my own."
    for name in "bc":
        assert f"{name}: {texts[name][0]}\n" in out


def test_one_question_is_asked_of_a_picture_and_a_failure_is_its_own(predict, capsys, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(lambda _, question: (400, {}, b"") if question[1] == 140 else None) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        status, texts = predict("--describe", "openai", "--describe-options", "model=tiny")
        assert sorted(server.tries) == [(PROMPTS[0], 90), (PROMPTS[0], 140)]
    assert status == 2
    assert {name: text for name, (text, _) in texts.items()} == {
        "a": "A kitchen of my own.",
        "b": f"Grey 90: {PROMPTS[0]}",
    }
    error = capsys.readouterr().err
    assert "c.png: pictures/c: 127.0.0.1" in error
    assert "1 of 3 pictures failed" in error


def test_a_refused_key_ends_it_in_a_line(predict, capsys, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(lambda *_: (401, {}, b"")) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        assert predict("--describe", "openai", "--describe-options", "model=tiny") == (2, {})
    assert "the key is refused: set OPENAI_API_KEY" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--describe-options", "model=a"], "--describe-options are of a describer: name it with --describe"),
        (["--describe", "openai"], "OpenAICaptioner lacks model"),
        (["--describe", "captioner", "--describe-options", "model"], "options are NAME=VALUE"),
    ],
)
def test_wrong_options_are_one_line(predict, capsys, options, message):
    assert predict(*options) == (2, {})
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "options", [["--text", "a", "--scene", "indoor"], ["--scene", "moon"], ["--describe", "poet"], ["--scene"]]
)
def test_one_way_at_a_time(options, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["predict", "a.png", *options])
    assert stopped.value.code == 2


def test_help_names_the_describers_without_importing_them():
    code = (
        "import sys; from tr2m_plugin.cli import make_parser\n"
        "try: make_parser().parse_args(['predict', '--help'])\n"
        "except SystemExit: assert not {'torch', 'transformers', 'httpx2', 'cv2'} & set(sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert all(name in " ".join(shown.split()) for name in command_names())
