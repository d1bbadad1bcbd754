"""What `mim train tr2m_plugin CONFIG` runs, through mim itself."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

OPTIONS = (
    "train_cfg.max_iters=2 train_cfg.val_interval=2 train_dataloader.batch_size=2 default_hooks.checkpoint.interval=2"
)


@pytest.mark.parametrize("config", ["{repository}/configs/tr2m_mini.py", "tr2m_mini.py"])
def test_mim_train_by_path_and_by_base_name(world, repository, tmp_path, config):
    mim = Path(sys.executable).with_name("mim")
    if not mim.is_file():
        mim = Path(shutil.which("mim") or pytest.skip("mim is not installed"))
    command = [mim, "train", "tr2m_plugin", config.format(repository=repository), "--work-dir", tmp_path / "w"]
    done = subprocess.run(
        [*map(str, command), "--cfg-options", *OPTIONS.split()],
        cwd=tmp_path,
        env={**os.environ, "TR2M_DATA_ROOT": str(world)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert (tmp_path / "w" / "iter_2.pth").is_file()
