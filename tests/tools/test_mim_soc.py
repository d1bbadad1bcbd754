"""The hook in a config on disk, trained by `mim train`: it is in the log, and features are further apart by depth."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tr2m_plugin.benchmark.features import collect_features
from tr2m_plugin.tools.train import load_config

CONFIG = """
_base_ = [{base!r}]
{hook}
train_dataloader = dict(batch_size=4)
train_cfg = dict(max_epochs=30, val_interval=30)
param_scheduler = []
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=30))
"""
HOOK = """
custom_imports = dict(imports=["tr2m_plugin"])
custom_hooks = [
    dict(
        type="tr2m_plugin.SOCHook",
        feature="backbone",
        index=["feature_maps", 1],
        projector=dict(pool=1),
        negative_reduction="mean",
        # Sixty iterations are few: a strong contrast with keys that are not far behind.
        loss_weight=50,
        momentum=0.1,
    ),
]
"""


def train(folder, hook, world, repository):
    mim = Path(sys.executable).with_name("mim")
    if not mim.is_file():
        mim = Path(shutil.which("mim") or pytest.skip("mim is not installed"))
    folder.mkdir()
    base = str(repository / "configs" / "newcrfs" / "newcrfs_swinmini_12e_rooms.py")
    (folder / "mine.py").write_text(CONFIG.format(base=base, hook=hook))
    done = subprocess.run(
        [str(mim), "train", "tr2m_plugin", str(folder / "mine.py"), "--work-dir", str(folder / "w")],
        env={**os.environ, "TR2M_DATA_ROOT": str(world)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (scalars,) = (folder / "w").rglob("scalars.json")
    losses = [json.loads(line) for line in scalars.read_text().splitlines()]
    config = load_config(str(folder / "mine.py"), data_root=str(world))
    config.val_dataloader.dataset.split = "train"
    found = collect_features(config, folder / "w" / "epoch_30.pth", "backbone", ["feature_maps", 1])
    return [line["loss_soc"] for line in losses if "loss_soc" in line], found.separation()


def test_the_hook_is_active(world, repository, tmp_path):
    losses, with_it = train(tmp_path / "with", HOOK, world, repository)
    none, without = train(tmp_path / "without", "", world, repository)
    assert len(losses) == 30 * 2
    assert not none
    assert sum(losses[-5:]) < sum(losses[:5])
    assert with_it > without + 0.01
