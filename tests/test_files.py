import os
import socket
import subprocess
import sys

import pytest

from tr2m_plugin.errors import InputError
from tr2m_plugin.files import parse_yaml, read_json, read_lines, read_text, sweep, write_whole


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"\xef\xbb\xbfA desk.\n", "A desk.\n"),
        (b"\xef\xbb\xbf", ""),
        (b"A desk.\r\nA chair.\r", "A desk.\nA chair.\n"),
        ("Ein Stuhl für Äffchen".encode(), "Ein Stuhl für Äffchen"),
    ],
)
def test_text_comes_without_its_byte_order_mark(tmp_path, content, text):
    (tmp_path / "a.txt").write_bytes(content)
    assert read_text(tmp_path / "a.txt") == text


def test_only_line_ends_part_lines(tmp_path):
    (tmp_path / "a.txt").write_bytes("one\u2028two\fthree\x85four\r\n \n five \n".encode())
    assert read_lines(tmp_path / "a.txt") == ["one\u2028two\fthree\x85four", "five"]


def test_what_is_no_text_is_named(tmp_path):
    with pytest.raises(InputError, match=r"a\.txt does not exist"):
        read_text(tmp_path / "a.txt")
    with pytest.raises(InputError, match=r"cannot be read: Is a directory"):
        read_text(tmp_path)
    (tmp_path / "a.txt").write_bytes("Grün".encode("latin-1"))
    with pytest.raises(InputError, match=r"a\.txt is not a UTF-8 text file"):
        read_text(tmp_path / "a.txt")


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    def fail(path):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    path = tmp_path / ("x" * 250 + ".txt")
    assert write_whole(path, lambda partial: partial.write_text("old")) == path
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, fail)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


def test_writers_see_the_extension_and_another_name(tmp_path):
    names = []
    for _ in range(2):
        write_whole(tmp_path / "a.png", lambda partial: (names.append(partial.name), partial.touch()))
    assert len({*names, "a.png"}) == 3
    assert all(name.endswith(".png") for name in names)


def test_leftovers_of_the_dead_are_swept(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    here = socket.gethostname()
    dead, elsewhere, running = (
        tmp_path / f".partial-{host}-{process}-1.png"
        for host, process in ((here, gone.pid), ("elsewhere", gone.pid), (here, os.getpid()))
    )
    others = [tmp_path / "a.png", tmp_path / ".partial-notes.txt"]
    for path in (dead, elsewhere, running, *others):
        path.touch()
    sweep(tmp_path)
    assert set(tmp_path.iterdir()) == {elsewhere, running, *others}
    sweep(tmp_path, alone=True)
    assert set(tmp_path.iterdir()) == set(others)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [", "while parsing"),
        ("[" * 20_000, "recursion"),
        ("a: &a [1]\nb: *a", r"aliases \(\*name\) are not taken here"),
        ("!!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("9" * 5000, "4300 digits"),
    ],
)
def test_yaml_that_is_not_taken_is_one_line(text, reason):
    with pytest.raises(InputError, match=f"x is not YAML: .*{reason}") as caught:
        parse_yaml(text, "x")
    assert "\n" not in str(caught.value)
    assert parse_yaml("a: &a [1]\nb: *a", "x", aliases=True) == {"a": [1], "b": [1]}


def test_json_by_the_letter(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('\ufeff{"a": [1, 0.5, null]}', encoding="utf-8")
    assert read_json(path) == {"a": [1, 0.5, None]}
    for text, reason in {"{": "Expecting", "NaN": "NaN", "1e999": "1e999", '{"a": 1, "a": 2}': "stands twice"}.items():
        path.write_text(text)
        with pytest.raises(InputError, match=f"a.json is not JSON: .*{reason}"):
            read_json(path)
    with pytest.raises(InputError, match=r"a.json has 16 bytes; such files have 10 at most"):
        read_json(path, largest=10)
    with pytest.raises(InputError, match="does not exist"):
        read_json(tmp_path / "b.json")
