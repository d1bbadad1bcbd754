import hashlib
import os
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from safetensors.torch import save_file

from tests.support.web import Page, serve
from tr2m_plugin.checkpoint import load_checkpoint, load_from_http_safely, register_safe_loader
from tr2m_plugin.errors import InputError, UnsafeCheckpointError


class RunsCode:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


class ReachesThroughGetattr:
    """The way round a plain getattr: from an allowed function to its module's globals."""

    def __reduce__(self):
        return getattr, (HistoryBuffer.update, "__globals__")


class ReachesAnotherClass:
    def __reduce__(self):
        return getattr, (np.ndarray, "tofile")


def test_weights_and_training_state_come_back(tmp_path):
    buffer = HistoryBuffer([1.0, 2.0], [1, 1])
    buffer.mean()
    content = {
        "state_dict": {"w": torch.ones(2)},
        "message_hub": {"log_scalars": {"loss": buffer}},
        "meta": {"iter": 3},
    }
    torch.save(content, tmp_path / "a.pth")
    loaded = load_checkpoint(tmp_path / "a.pth")
    assert torch.equal(loaded["state_dict"]["w"], torch.ones(2))
    assert loaded["message_hub"]["log_scalars"]["loss"].mean() == 1.5
    save_file({"w": torch.ones(2)}, tmp_path / "b.safetensors")
    assert torch.equal(load_checkpoint(tmp_path / "b.safetensors")["state_dict"]["w"], torch.ones(2))


@pytest.mark.parametrize("make", [RunsCode, lambda _: ReachesThroughGetattr(), lambda _: ReachesAnotherClass()])
@pytest.mark.parametrize("through_mmengine", [False, True])
def test_code_is_refused_and_does_not_run(tmp_path, make, through_mmengine):
    path, mark = tmp_path / "bad.pth", tmp_path / "it_ran"
    torch.save({"state_dict": {"w": torch.ones(1)}, "extra": make(mark)}, path)
    register_safe_loader()
    load = CheckpointLoader.load_checkpoint if through_mmengine else load_checkpoint
    with pytest.raises(UnsafeCheckpointError, match=r"bad.pth is not loaded") as caught:
        load(str(path))
    assert "\n" not in str(caught.value)
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"", b"hello world", b"PK\x03\x04 cut off", bytes(range(256))])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_no_checkpoint_is_one_clear_line(tmp_path, content, suffix):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"x{suffix} is not a readable") as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_missing_file_and_other_content(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_checkpoint(tmp_path / "no.pth")
    torch.save([1], tmp_path / "list.pth")
    with pytest.raises(InputError, match="holds a list"):
        load_checkpoint(tmp_path / "list.pth")


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A web server, its pages by path, and the paths that were asked for."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    with serve() as web:
        yield web.root, web.pages, web.asked


def put(files, tmp_path, path, number):
    torch.save({"w": torch.full((100,), float(number))}, tmp_path / "file.pth")
    content = (tmp_path / "file.pth").read_bytes()
    files[path] = Page(content)
    return content


def kept(tmp_path):
    """What lies in the cache, locks apart, which are empty and stay."""
    files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert all(path.stat().st_size == 0 for path in files if path.suffix == ".lock")
    return [path for path in files if path.suffix != ".lock"]


def test_two_addresses_with_one_last_part_are_two_files(site, tmp_path):
    root, files, asked = site
    register_safe_loader()
    paths = ("/a/epoch_50.pth", "/b/epoch_50.pth", "/b/epoch_50.pth?version=2")
    for number, path in enumerate(paths):
        put(files, tmp_path, path, number)
    for _ in range(2):
        found = [CheckpointLoader.load_checkpoint(root + path)["w"][0].item() for path in paths]
        assert found == [0, 1, 2]
    assert asked == list(paths), "each is fetched once"


def test_what_is_cut_off_is_not_kept(site, tmp_path):
    root, files, _ = site
    content = put(files, tmp_path, "/a.pth", 1)
    files["/a.pth"] = Page(content[:500], len(content))
    with pytest.raises(InputError, match=rf"a.pth was cut off: 500 of {len(content)} bytes arrived; try again"):
        load_from_http_safely(f"{root}/a.pth")
    assert kept(tmp_path) == []
    files["/a.pth"] = Page(content, None)
    assert load_from_http_safely(f"{root}/a.pth")["w"][0] == 1


def test_a_hash_in_the_name_is_held_to(site, tmp_path):
    root, files, _ = site
    content = put(files, tmp_path, "/x.pth", 1)
    own = hashlib.sha256(content).hexdigest()[:8]
    wrong = "abcdef01"
    names = {f"/net-{own}.pth": True, f"/net-{wrong}.pth": False, "/net-20240131.pth": True, "/net-small.pth": True}
    for name, good in names.items():
        files[name] = files["/x.pth"]
        if good:
            assert load_from_http_safely(root + name)["w"][0] == 1
            continue
        with pytest.raises(InputError, match=f"is not the file of its name: its SHA-256 does not begin with {wrong}"):
            load_from_http_safely(root + name)
    assert not [path for path in kept(tmp_path) if wrong in path.name]


@pytest.mark.parametrize("address", ["{root}/missing.pth", "http://127.0.0.1:9/a.pth", "http://[/a.pth"])
def test_what_cannot_be_fetched_is_a_line_and_leaves_nothing(site, tmp_path, address):
    address = address.format(root=site[0])
    with pytest.raises(InputError, match=r"\.pth cannot be fetched: ") as caught:
        load_from_http_safely(address)
    assert "\n" not in str(caught.value)
    assert kept(tmp_path) == []


def test_an_archive_that_unpacks_to_more_than_it_is_is_refused(tmp_path):
    with ZipFile(tmp_path / "bomb.pth", "w", ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(10**7))
    with pytest.raises(
        UnsafeCheckpointError, match=r"bomb.pth is not loaded: it is compressed, and would unpack to 1000"
    ):
        load_checkpoint(tmp_path / "bomb.pth")
