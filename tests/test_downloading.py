import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.support.web import Page, serve
from tr2m_plugin.downloading import fetch, home
from tr2m_plugin.errors import InputError, UnsafeCheckpointError

CONTENT = bytes(range(256)) * 4000
OTHER = CONTENT[::-1]


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with serve() as web:
        yield web


@pytest.fixture
def cut(site, tmp_path):
    """A file of which half arrived before the line was cut; its address and place."""
    address, target = f"{site.root}/a.bin", tmp_path / "folder" / "a.bin"
    site.pages["/a.bin"] = Page(CONTENT, etag='"one"', sent=512_000)
    with pytest.raises(InputError, match=r"a.bin was cut off: 512000 of 1024000 bytes arrived; try again"):
        fetch(address, target)
    assert not target.exists()
    return address, target


def names(target):
    return sorted(path.name for path in target.parent.iterdir())


@pytest.mark.parametrize("etag", ['"one"', 'W/"one"'])
def test_a_cut_download_goes_on(site, cut, etag):
    address, target = cut
    if etag != '"one"':
        mark = target.with_name("a.bin.part.json")
        mark.write_text(json.dumps({"address": address, "etag": etag}))
    site.pages["/a.bin"] = Page(CONTENT, etag=etag)
    fetch(address, target)
    assert target.read_bytes() == CONTENT
    assert site.ranges == [None, "bytes=512000-"]
    assert names(target) == ["a.bin", "a.bin.lock"]
    fetch(address, target)
    assert len(site.asked) == 2


@pytest.mark.parametrize(
    ("page", "asked"),
    [
        (Page(OTHER, etag='"two"'), 3),  # another state: the rest of it is not taken
        (Page(OTHER), 2),  # no ranges: all of it comes at once
        (Page(OTHER[:1000], etag='"two"'), 3),  # shorter than what is there
    ],
)
def test_a_file_that_has_changed_starts_anew(site, cut, page, asked):
    address, target = cut
    site.pages["/a.bin"] = page
    fetch(address, target)
    assert target.read_bytes() == page.content
    assert len(site.asked) == asked


def test_another_address_starts_anew(site, cut):
    _, target = cut
    site.pages["/b.bin"] = Page(OTHER, etag='"one"')
    fetch(f"{site.root}/b.bin", target)
    assert target.read_bytes() == OTHER
    assert site.ranges == [None, None]


def test_cut_again_and_again(site, cut):
    address, target = cut
    for sent in (600_000, 700_000):
        site.pages["/a.bin"] = Page(CONTENT, etag='"one"', sent=sent)
        with pytest.raises(InputError, match=f"cut off: {sent} of 1024000"):
            fetch(address, target)
    site.pages.clear()
    with pytest.raises(InputError, match="HTTP Error 404: Not Found; try again"):
        fetch(address, target)
    site.pages["/a.bin"] = Page(CONTENT, etag='"one"')
    fetch(address, target)
    assert target.read_bytes() == CONTENT
    assert site.ranges[-1] == "bytes=700000-"


def test_what_no_etag_names_is_not_gone_on_with(site, tmp_path):
    site.pages["/a.bin"] = Page(CONTENT, sent=500)
    with pytest.raises(InputError, match="cut off: 500 of"):
        fetch(f"{site.root}/a.bin", tmp_path / "a.bin")
    assert names(tmp_path / "a.bin") == ["a.bin.lock"]


def test_what_is_refused_is_not_kept(site, tmp_path):
    def refuse(path):
        assert path.read_bytes() == CONTENT
        raise UnsafeCheckpointError("it holds code")

    site.pages["/a.bin"] = Page(CONTENT, etag='"one"')
    with pytest.raises(UnsafeCheckpointError, match=f"{site.root}/a.bin: it holds code"):
        fetch(f"{site.root}/a.bin", tmp_path / "a.bin", refuse)
    assert names(tmp_path / "a.bin") == ["a.bin.lock"]


def test_the_message_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(
        InputError,
        match=r"^http://127.0.0.1:9/a.bin cannot be fetched: \[Errno \d+\] Connection refused; put it there$",
    ) as e:
        fetch("http://127.0.0.1:9/a.bin", tmp_path / "a.bin", hint="put it there")
    assert "\n" not in str(e.value)


def test_the_proxy_is_that_of_the_environment(site, tmp_path, monkeypatch):
    monkeypatch.delenv("no_proxy")
    monkeypatch.setenv("http_proxy", site.root)
    site.pages["http://weights.example/a.bin"] = Page(CONTENT)
    fetch("http://weights.example/a.bin", tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


SCRIPT = """
import sys
sys.argv[0] = "tr2m"  # so that nothing heavy is imported
from pathlib import Path
from tr2m_plugin.downloading import fetch
fetch(sys.argv[1], Path(sys.argv[2]))
"""


def test_a_second_process_waits(site, tmp_path):
    site.pages["/a.bin"] = Page(CONTENT, ready=threading.Event())
    command = [sys.executable, "-c", SCRIPT, f"{site.root}/a.bin", str(tmp_path / "a.bin")]
    first = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not site.asked and first.poll() is None:
        time.sleep(0.01)
    second = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert second.stderr.readline() == f"waiting for another process that makes {tmp_path / 'a.bin'}\n"
    site.pages["/a.bin"].ready.set()
    assert second.communicate(timeout=60)[1] == ""
    assert [first.wait(60), second.returncode] == [0, 0]
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert site.asked == ["/a.bin"]


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"TR2M_HOME": "~/weights", "XDG_CACHE_HOME": "/cache"}, "weights"),
        ({"XDG_CACHE_HOME": "/cache"}, "/cache/tr2m"),
        ({"TR2M_HOME": "", "XDG_CACHE_HOME": ""}, ".cache/tr2m"),
        ({}, ".cache/tr2m"),
    ],
)
def test_where_it_is_kept(monkeypatch, tmp_path, variables, folder):
    for name in ("TR2M_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert home() == Path(tmp_path, folder)
