"""`mim search` and `mim download` find what a wheel of this package holds."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from mmengine.config import Config


@pytest.fixture(scope="module")
def installed(repository, tmp_path_factory):
    """The package as a wheel puts it somewhere."""
    folder = tmp_path_factory.mktemp("zoo")
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    done = subprocess.run([*build, "-w", folder, repository], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.fixture
def mim(installed, tmp_path):
    """Runs mim with that package before all others, with no network."""
    program = Path(sys.executable).with_name("mim")
    if not program.is_file():
        program = Path(shutil.which("mim") or pytest.skip("mim is not installed"))
    nowhere = dict.fromkeys(("https_proxy", "http_proxy"), "http://127.0.0.1:9")

    def run(*arguments):
        return subprocess.run(
            [str(program), *arguments],
            cwd=tmp_path,
            env={**os.environ, **nowhere, "PYTHONPATH": str(installed), "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
        )

    return run


def ids(done):
    assert done.returncode == 0, done.stderr[-2000:]
    return [line.split()[-1] for line in done.stdout.splitlines() if line.startswith("config id:")]


def test_search(mim, repository, tmp_path):
    assert len(ids(mim("search", "tr2m_plugin"))) == len(
        [path for path in (repository / "configs").rglob("*.py") if "_base_" not in path.parts]
    )
    assert "newcrfs_swinl_50e_nyu" in ids(mim("search", "tr2m_plugin", "--model", "newcrfs"))
    assert ids(mim("search", "tr2m_plugin", "--dataset", "c3vd")) == ["da_single_c3vd"]
    best = set(ids(mim("search", "tr2m_plugin", "--condition", "d1>0.95", "--field", "nyu/d1")))
    assert best >= {"tr2m_mixed", "classes_10", "classes_40"}
    assert "maps" not in best
    shown = mim("search", "tr2m_plugin", "--config", "tr2m_mixed")
    assert "nyu/d1_(paper)" in shown.stdout
    assert ids(shown) == ["tr2m_mixed"]
    assert mim("search", "tr2m_plugin", "--json", "found.json").returncode == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["parameters"]["tr2m_mixed"] == 18_959_746
    assert found["rooms/d1_(fixture)"]["tr2m_mini"] > 0.5


@pytest.mark.parametrize("name", ["tr2m_mini", "classes_5"])
def test_download_of_what_has_no_file_to_fetch_writes_its_config(mim, tmp_path, name):
    """Weights that are in the package, or nowhere yet."""
    done = mim("download", "tr2m_plugin", "--config", name, "--dest", "there")
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"Successfully dumped {name}.py" in done.stdout
    assert [path.name for path in (tmp_path / "there").iterdir()] == [f"{name}.py"]
    assert Config.fromfile(tmp_path / "there" / f"{name}.py").model.type == "TR2M"


def test_the_authors_weights_are_fetched_from_the_authors(mim, tmp_path):
    offline = mim("download", "tr2m_plugin", "--config", "tr2m_mixed", "--dest", "there")
    assert offline.returncode != 0
    assert "raw.githubusercontent.com" in offline.stderr
    assert not any((tmp_path / "there").iterdir())
    (tmp_path / "there" / "da_s_vitl_vitl.pth").write_bytes(b"as though it had come")
    done = mim("download", "tr2m_plugin", "--config", "tr2m_mixed", "--dest", "there")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "da_s_vitl_vitl.pth exists in" in done.stdout
    assert Config.fromfile(tmp_path / "there" / "tr2m_mixed.py").model.rescale_net.out_channels == 192
