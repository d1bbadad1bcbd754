"""The stages of `dvc.yaml` that describe, with tiny networks, killed in the middle and repeated."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from benchmarks.tiny_llava import save_llava
from tests.support.maskdino import original
from tr2m_plugin.datasets.parquet import columns_of, read_table, sample_key
from tr2m_plugin.rows import DescriptionRow

TAKEN = ("pipelines", "tr2m_plugin", "dvc.yaml", "params.yaml", ".dvcignore")


@pytest.fixture
def project(tmp_path, repository, data):
    """A copy of the pipeline with a profile of two hundred pictures and tiny networks."""
    root = tmp_path / "project"
    root.mkdir()
    for name in TAKEN:
        source = repository / name
        skip = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, root / name, ignore=skip) if source.is_dir() else shutil.copy(source, root / name)
    for family in ("vicuna", "mistral"):
        save_llava(root / "networks" / family, family)
    torch.save({"model": original(data, "r50")}, root / "networks" / "maskdino.pth")
    rng = np.random.default_rng(0)
    for folder, count in (("many", 197), ("few", 3)):
        (root / folder).mkdir()
        for i in range(count):
            cv2.imwrite(str(root / folder / f"{i:03d}.png"), rng.integers(0, 256, (30, 40, 3), np.uint8))
    params = yaml.safe_load((root / "params.yaml").read_text())
    engine = {"workers": 2, "device": "cpu", "shard_size": 10, "batch_size": 5}
    llava = {"type": "Llava", "max_new_tokens": 4, "engine": engine}
    tiny = dict(params["profiles"]["pictures"])
    tiny["index"] = {"datasets": [{"type": "RGBDFolder", "root": name, "image": "*.png"} for name in ("many", "few")]}
    tiny["describe"] = {
        **{item: {} for item in ("texts", "captioner", "openai")},
        "llava_vicuna": {**llava, "model": "networks/vicuna", "prompts": ["What is it?"]},
        "llava_mistral": {**llava, "model": "networks/mistral", "datasets": ["few"]},
    }
    maskdino = {"type": "MaskDino", "weights": "networks/maskdino.pth", "size": 64, "num_queries": 20}
    tiny["list_objects"] = {"maskdino": {**maskdino, "datasets": ["few"], "engine": engine}, "transformers": {}}
    (root / "params.yaml").write_text(yaml.safe_dump({"profile": "tiny", "profiles": {"tiny": tiny}}))
    subprocess.run([*dvc(), "init", "--no-scm", "-q"], cwd=root, check=True)
    return root


def dvc():
    return [sys.executable, "-m", "dvc"]


def repro(root):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.Popen(
        [*dvc(), "repro", "descriptions"],
        cwd=root,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "DVC_NO_ANALYTICS": "1", "PYTHONPATH": str(root)},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_killed_dvc_goes_on_where_it_was(project):
    first = repro(project)
    shards = project / "work" / "tiny" / "described" / "llava_vicuna"
    deadline = time.monotonic() + 400
    while len(list(shards.glob("0*.parquet"))) < 4 and time.monotonic() < deadline and first.poll() is None:
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    out = first.communicate()[0]
    finished = {path.name: path.stat().st_mtime_ns for path in shards.glob("0*.parquet")}
    assert 4 <= len(finished) < 20, out[-3000:]
    second = repro(project)
    out = second.communicate(timeout=600)[0]
    assert second.returncode == 0, out[-3000:]
    assert {name: (shards / name).stat().st_mtime_ns for name in finished} == finished, "what was done stayed"
    # Ray's workers may finish what they were at after the driver's death.
    (left,) = map(int, re.findall(r"described llava_vicuna: 200 rows in 20 shards, (\d+) rows", out))
    assert 0 < left <= 200 - 10 * len(finished)
    rows = read_table(project / "work" / "tiny" / "descriptions.parquet", columns_of(DescriptionRow))
    vicuna = [row for row in rows if row["source"] == "llava-vicuna"]
    assert len(vicuna) == len({sample_key(row) for row in vicuna}) == 200
    few = [row for row in rows if row["dataset"] == "few"]
    assert len(few) == 3 * (1 + 5 + 5)
