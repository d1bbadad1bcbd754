import os
import socket
from pathlib import Path

import pytest

from tr2m_plugin.folders import clutter, count_reasons, is_utf8, walk


@pytest.mark.parametrize(
    ("name", "reason"),
    [("a.jpg", None), ("._a.jpg", "._*"), ("@eaDir", "@eaDir"), (".Trash-1000", ".Trash*"), (".git", "hidden")],
)
def test_what_is_no_data_by_its_name(name, reason):
    assert clutter(name) == reason


def listed(root):
    return {path.relative_to(root).as_posix(): reason for path, reason in walk(root)}


def test_every_entry_comes_once_with_its_reason(tmp_path, monkeypatch):
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    (root / "@eaDir").mkdir()
    (tmp_path / "far").mkdir()
    for path in (root / "1", root / "a" / "2", root / "@eaDir" / "3", tmp_path / "far" / "4", root / "._1"):
        path.touch()
    os.mkfifo(root / "pipe")
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    for name, target in {
        "endless": "/dev/zero",
        "loop": "loop",
        "lost": "nowhere",
        "again": "a",
        "up": ".",
        "root": "/",
        "b": "../far",
        "c": "../far",
        "one": "1",
    }.items():
        os.symlink(target, root / name)
    assert listed(root) == {
        "1": None,
        "a/2": None,
        "b/4": None,
        "one": None,
        "@eaDir": "@eaDir",
        "._1": "._*",
        "pipe": "pipes, sockets and devices",
        "socket": "pipes, sockets and devices",
        "endless": "pipes, sockets and devices",
        "loop": "links that lead nowhere",
        "lost": "links that lead nowhere",
        "again": "links to folders that are there already",
        "up": "links to folders that are there already",
        "c": "links to folders that are there already",
        "root": "links to a folder above",
    }


def test_a_folder_that_cannot_be_read_is_left_out_or_an_error(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    scan = os.scandir

    def refuse(path):
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert listed(tmp_path) == {"sub": "folders that cannot be read (Permission denied)"}
    errors = []
    list(walk(tmp_path, on_error=errors.append))
    assert [error.filename for error in errors] == [str(tmp_path / "sub")]


def test_words():
    assert count_reasons({"b": 2, "a": 1}) == "1 a, 2 b"
    assert is_utf8("Grün")
    assert not is_utf8(os.fsdecode(b"caf\xe9"))
