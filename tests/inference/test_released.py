import hashlib
import io
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.support.web import Page, serve
from tr2m_plugin.benchmark.estimators import open_estimator
from tr2m_plugin.cli import main
from tr2m_plugin.errors import InputError, UnsafeCheckpointError
from tr2m_plugin.inference.released import install, is_installed, releases
from tr2m_plugin.models import RescaleNet
from tr2m_plugin.models.tr2m.released_weights import _theirs

NAME, FILE = "tr2m_da_small", "da_s_vitl_vitl.pth"
SMALL = {"image_channels": 128, "text_channels": 160, "out_channels": 16, "features": 8, "head_channels": 4}
MINI = {
    "image_encoder": "mini_depth_anything",
    "relative_depth": "mini_depth_anything",
    "text_encoder": "mini_clip_text",
}
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 75850000\n"


def released(seed, extra=None, **sizes):
    """The content of a file as the authors'."""
    torch.manual_seed(seed)
    state = {f"module.scalemap.{_theirs(name)}": value for name, value in RescaleNet(**sizes).state_dict().items()}
    file = io.BytesIO()
    torch.save({**state, **({} if extra is None else {"extra": extra})}, file)
    return file.getvalue()


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with serve() as web:
        monkeypatch.setenv("TR2M_WEIGHTS_URL", f"{web.root}/{FILE}")
        yield web


@pytest.fixture
def small(site, monkeypatch):
    """A site with a small head that stands on small networks, as the release is known to be."""
    content = released(0, **SMALL)
    release = replace(releases()[NAME], bytes=(len(content), len(content)))
    monkeypatch.setattr("tr2m_plugin.inference.released.releases", lambda: {NAME: release})
    monkeypatch.setattr("tr2m_plugin.inference.convert.RELEASED_NETWORKS", MINI)
    site.pages[f"/{FILE}"] = Page(content, etag='"one"')
    return site, content, release


def left(release):
    """What lies in the folder of the weights, locks apart."""
    return sorted(path.name for path in release.path.parent.iterdir() if path.suffix != ".lock")


def test_at_full_size_cut_off_and_then_by_two_processes_at_once(site, tmp_path, capsys):
    content = released(0)
    least, most = releases()[NAME].bytes
    assert least < len(content) < most
    site.pages[f"/{FILE}"] = Page(content, etag='"one"', sent=50_000_000)
    assert main(["download", NAME]) == 2
    assert f"cut off: 50000000 of {len(content)} bytes arrived; try again" in capsys.readouterr().err
    ready = threading.Event()
    site.pages[f"/{FILE}"] = Page(content, etag='"one"', ready=ready)
    command = [sys.executable, "-m", "tr2m_plugin.cli", "download", NAME]
    done = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=(tmp_path / f"{n}.txt").open("w"), text=True)
        for n in range(2)
    ]
    said = [tmp_path / f"{n}.txt" for n in range(2)]
    while not any("waiting for another process" in file.read_text() for file in said):
        assert all(process.poll() is None for process in done), [file.read_text() for file in said]
        time.sleep(0.05)
    ready.set()
    told = [process.communicate(timeout=60)[0] for process in done]
    assert [process.returncode for process in done] == [0, 0], [file.read_text() for file in said]
    assert site.ranges == [None, "bytes=50000000-"]
    release = releases()[NAME]
    digest = hashlib.sha256(content).hexdigest()
    assert hashlib.sha256(release.path.read_bytes()).hexdigest() == digest
    assert release.record.read_text() == f"{digest}  {FILE}\n"
    assert all(f"SHA-256 of {FILE}: {digest}" in out and "facebook/dinov2-large" in out for out in told)
    torch.manual_seed(0)
    weights = load_file(tmp_path / "home" / "models" / NAME / "model.safetensors")
    net = RescaleNet()
    assert sum(parameter.numel() for parameter in net.parameters()) == 18_959_746
    assert all(torch.equal(weights[f"rescale_net.{name}"], value) for name, value in net.state_dict().items())


def test_the_address_is_the_authors_file_at_one_commit():
    release = releases()[NAME]
    folder = "BeileiCui/TR2M/a45925862bcd76c84ac38c6fc98da1e187f1146e/weights"
    assert release.address == f"https://raw.githubusercontent.com/{folder}/{FILE}"
    assert release.lfs_address == f"https://media.githubusercontent.com/media/{folder}/{FILE}"
    assert release.bytes[0] == 18_959_746 * 4


def test_the_first_use_says_what_it_fetches_and_later_ones_nothing(small, caplog):
    site, content, release = small
    assert not is_installed(NAME)
    folder = install(NAME)
    (said,) = caplog.messages
    assert f"from {site.root}/{FILE} into {release.path}; the authors state no licence: whether you may" in said
    assert is_installed(NAME)
    assert json.loads((folder / "config.json").read_text())["about"] == {
        "source": "the authors' released weights (https://github.com/BeileiCui/TR2M)",
        "file": FILE,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    assert install(NAME) == folder
    assert len(caplog.messages) == len(site.asked) == 1


class RunsCode:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (
            None,
            "HTTP Error 404: Not Found; without a network, put {file} of https://github.com/BeileiCui/TR2M at {path}",
        ),
        (Page(LFS), "it is a Git LFS pointer and not the file: try again with TR2M_WEIGHTS_URL={lfs}"),
        (Page(b"<html>"), "it has 6 bytes, and the authors' file {size} to {size}: it is another one"),
        (lambda content: Page(content[:-100]), "it has {short} bytes, and the authors' file {size} to {size}"),
        (lambda content: Page(content[:-100], len(content)), "was cut off: {short} of {size} bytes arrived; try again"),
        (lambda content: Page(bytes(len(content))), "is not a readable checkpoint"),
    ],
)
def test_what_is_not_the_file_is_one_line_and_leaves_nothing(small, capsys, page, message):
    site, content, release = small
    size = len(content)
    site.pages = {} if page is None else {f"/{FILE}": page(content) if callable(page) else page}
    assert main(["download", NAME]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    facts = {"file": FILE, "path": release.path, "lfs": release.lfs_address, "size": size, "short": size - 100}
    assert message.format(**facts) in error
    assert f"{site.root}/{FILE}" in error
    assert left(release) == []
    assert not is_installed(NAME)
    site.pages = {f"/{FILE}": Page(content)}
    assert main(["download", NAME]) == 0


def test_no_network_is_one_line_that_says_what_to_put_where(small, monkeypatch, capsys):
    _, content, release = small
    monkeypatch.setenv("TR2M_WEIGHTS_URL", f"http://127.0.0.1:9/{FILE}")
    assert main(["predict", __file__, "--text", "x", "--model", NAME]) == 2
    assert f"put {FILE} of {release.repository} at {release.path}\n" in capsys.readouterr().err
    release.path.write_bytes(LFS)
    assert main(["download", NAME]) == 2
    assert f"tr2m: {release.path}: it is a Git LFS pointer" in capsys.readouterr().err
    release.path.write_bytes(content)
    assert main(["download", NAME]) == 0
    assert left(release) == [FILE, f"{FILE}.sha256"]


def test_code_is_refused_and_does_not_run(small, tmp_path, monkeypatch):
    site, _, release = small
    content = released(0, RunsCode(tmp_path / "it_ran"), **SMALL)
    larger = replace(release, bytes=(0, len(content)))
    monkeypatch.setattr("tr2m_plugin.inference.released.releases", lambda: {NAME: larger})
    site.pages[f"/{FILE}"] = Page(content, etag='"two"')
    with pytest.raises(UnsafeCheckpointError, match=r"is not loaded: beside weights it holds .*mkdir"):
        install(NAME)
    assert not (tmp_path / "it_ran").exists()
    assert left(release) == []
    larger.path.write_bytes(content)
    with pytest.raises(UnsafeCheckpointError, match=rf"^{larger.path} is not loaded"):
        install(NAME)
    assert not (tmp_path / "it_ran").exists()


def test_a_file_that_has_changed_is_refused(small, monkeypatch):
    site, content, release = small
    install(NAME)
    first = release.record.read_text().split()[0]
    changed = released(1, **SMALL)
    assert len(changed) == len(content)
    site.pages[f"/{FILE}"] = Page(changed)
    release.path.unlink()
    with pytest.raises(InputError, match=rf"it has changed: its SHA-256 is \w+, not {first}, of the first that came"):
        install(NAME)
    assert left(release) == [f"{FILE}.sha256"]
    assert is_installed(NAME), "what was there stays"
    release.path.write_bytes(changed)
    with pytest.raises(InputError, match=rf"{FILE}: it has changed: .*; remove {release.record} to take another"):
        install(NAME)
    release.record.unlink()
    folder = install(NAME)
    digest = hashlib.sha256(changed).hexdigest()
    assert json.loads((folder / "config.json").read_text())["about"]["sha256"] == digest
    published = replace(release, sha256=first)
    monkeypatch.setattr("tr2m_plugin.inference.released.releases", lambda: {NAME: published})
    assert not is_installed(NAME)
    with pytest.raises(InputError, match=rf"its SHA-256 is {digest}, not {first}, that is published"):
        install(NAME)


def test_predict_takes_the_authors_where_they_are(small, tmp_path, capsys):
    site, _, _ = small
    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(0).integers(0, 255, (56, 70, 3), np.uint8))
    picture = ["predict", str(tmp_path / "a.png"), "--text", "A desk.", "--size", "56", "70", "--device", "cpu"]
    said = {}

    def predict(out, *more):
        assert main([*picture, "--out", str(tmp_path / out), *more]) == 0
        said[out] = capsys.readouterr().err
        return json.loads((tmp_path / out / "a.json").read_text())

    mini = predict("before")
    assert mini["model"] == "tr2m_mini"
    assert said["before"].startswith("tr2m: tr2m_mini predicts, which has seen rendered pictures only: `tr2m download")
    assert said["before"].count("\n") == 1
    assert site.asked == []
    asked, default = predict("asked", "--model", NAME), predict("default")
    assert asked["model"] == default["model"] == NAME
    assert asked["weights"] == default["weights"] != mini["weights"]
    assert "tr2m_mini" not in said["asked"] + said["default"]
    assert len(site.asked) == 1
    estimator = open_estimator(NAME, device="cpu")
    assert (estimator.facts.label, estimator.facts.weights) == (f"TR2M ({NAME})", default["weights"])


def test_a_folder_of_that_name_goes_before(small, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path(NAME).mkdir()
    assert main(["predict", __file__, "--text", "x", "--model", NAME]) == 2
    assert f"{NAME} is not a model folder: it has no config.json" in capsys.readouterr().err
    assert small[0].asked == []


def test_other_names_are_refused(capsys):
    assert main(["download", "tr2m_da_large"]) == 2
    assert "nothing is released as 'tr2m_da_large': there is tr2m_da_small" in capsys.readouterr().err
