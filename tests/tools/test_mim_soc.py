"""The hook in a config on disk, trained by `mim train`: it is in the log, and it alone moves what it contrasts."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tr2m_plugin.checkpoint import load_checkpoint

CONFIG = """
_base_ = [{base!r}]
custom_imports = dict(imports=["tr2m_plugin"])
custom_hooks = [
    dict(
        type="tr2m_plugin.SOCHook",
        feature="backbone",
        index=["feature_maps", 1],
        projector=dict(pool=1),
        negative_reduction="mean",
        momentum=0.1,  # few iterations take keys that are not far behind
    ),
]
# With the model's own loss weighted to nothing, and no decay, what moves is moved by the contrast.
model = dict(loss=dict(loss_weight=0.0))
optim_wrapper = dict(optimizer=dict(weight_decay=0.0))
train_dataloader = dict(batch_size=4)
train_cfg = dict(max_epochs=15, val_interval=15)
param_scheduler = []
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=1, max_keep_ckpts=15, save_best=None))
"""


@pytest.fixture(scope="module")
def folder(world, repository, tmp_path_factory):
    """The work folder of a training by mim."""
    mim = Path(sys.executable).with_name("mim")
    if not mim.is_file():
        mim = Path(shutil.which("mim") or pytest.skip("mim is not installed"))
    folder = tmp_path_factory.mktemp("mim")
    base = str(repository / "configs" / "newcrfs" / "newcrfs_swinmini_12e_rooms.py")
    (folder / "mine.py").write_text(CONFIG.format(base=base))
    done = subprocess.run(
        [str(mim), "train", "tr2m_plugin", str(folder / "mine.py"), "--work-dir", str(folder / "w")],
        env={**os.environ, "TR2M_DATA_ROOT": str(world)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return folder / "w"


def test_the_contrast_is_in_the_log_and_falls(folder):
    (scalars,) = folder.rglob("scalars.json")
    lines = [json.loads(line) for line in scalars.read_text().splitlines()]
    losses = [line["loss_soc"] for line in lines if "loss_soc" in line]
    assert len(losses) == 15 * 2
    assert sum(losses[-5:]) < sum(losses[:5])


def test_it_moves_what_the_feature_is_made_of_and_nothing_else(folder):
    first, last = (load_checkpoint(folder / f"epoch_{number}.pth")["state_dict"] for number in (1, 15))
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    weights = [name for name in first if not name.endswith(statistics)]
    moved = {name for name in weights if not first[name].equal(last[name])}
    below = {name for name in weights if ".encoder.layers.0." in name or ".embeddings." in name}
    assert below
    assert below <= moved
    assert all(name.startswith("backbone.") for name in moved)
    assert any(name not in moved for name in weights if name.startswith("backbone.")), "of the stages after it, none"
