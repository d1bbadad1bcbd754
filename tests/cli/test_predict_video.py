import h5py
import pytest

from tests.support.chat_server import serving
from tests.support.clips import encode
from tr2m_plugin.cli import main

TEXT = "A small kitchen with a table."


@pytest.fixture
def predict(trained, tmp_path):
    """The command; gives its status."""

    def run(*arguments):
        model = ["--model", str(trained / "model"), "--device", "cpu", "--out", str(tmp_path / "out")]
        return main(["predict", *map(str, arguments), *model])

    return run


def test_videos_one_after_another(predict, tmp_path, capsys):
    (tmp_path / "sub").mkdir()
    first, second = encode(tmp_path / "a.mp4", count=3), encode(tmp_path / "sub" / "a.webm", "libvpx-vp9", count=2)
    (tmp_path / "c.avi").write_bytes(b"none")
    assert predict(first, tmp_path / "c.avi", second, "--text", TEXT, "--steady", "--depth-dtype", "float32") == 2
    captured = capsys.readouterr()
    assert "a: 3 frames, most of them " in captured.out
    assert "a_2: 2 frames" in captured.out
    assert "c.avi is cut off, or no video" in captured.err
    assert "1 of 3 videos failed" in captured.err
    with h5py.File(tmp_path / "out" / "a_2.h5") as file:
        assert (file["depth"].dtype, file.attrs["steady"], file.attrs["text"]) == ("float32", 0.5, TEXT)


def test_a_text_file_lies_beside_the_video(predict, tmp_path):
    path = encode(tmp_path / "a.mp4", count=2)
    (tmp_path / "a.txt").write_text("A bathroom.\n")
    assert predict(path) == 0
    with h5py.File(tmp_path / "out" / "a.h5") as file:
        assert file.attrs["text"] == "A bathroom."


def test_it_is_described_anew_every_so_many_seconds(predict, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    path = encode(tmp_path / "a.mp4", count=10)
    greys = []

    def answer(_, question):
        greys.append(question[1])
        return (400, {}, b"") if len(greys) == 2 else None

    with serving(answer) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        options = ["--describe", "openai", "--describe-options", "model=tiny"]
        assert predict(path, *options, "--describe-every", "0.35") == 0
        with h5py.File(tmp_path / "out" / "a.h5") as file:
            texts = file["text"].asstr()[:].tolist()
        assert len(greys) == 3
        assert [texts.index(text) for text in texts] == [0] * 8 + [8] * 2  # what came at 0.4 s failed
        captured = capsys.readouterr()
        assert "a at 0.8 s: Grey" in captured.out
        assert "the sentence before stays" in captured.err
        assert predict(path, *options) == 0
        assert len(greys) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.mp4", "b.png", "--text", TEXT], "a.mp4 is a video and b.png is none: predict them separately"),
        (["b.png", "--text", TEXT, "--steady"], "--steady is for videos: leave it out for b.png"),
        (["a.mp4", "--text", TEXT, "--fov", "60"], "--fov is for pictures: leave it out for a.mp4"),
        (["a.mp4", "--text", TEXT, "--keep-edges"], "--keep-edges is for pictures"),
        (["a.mp4", "--text", TEXT, "--confidence"], "--confidence is for pictures"),
        (["a.mp4", "--text", TEXT, "--text", TEXT], "a second --text is for pictures"),
        (["a.mp4", "--scene", "indoor", "--describe-every", "2"], "--describe-every needs a describer"),
        (["a.mp4"], "a.mp4 has no description: give --text"),
        (["a.mp4", "--text", " "], "the text is empty"),
    ],
)
def test_what_does_not_go_together_is_one_line(predict, tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    encode("a.mp4", count=2)
    assert predict(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
