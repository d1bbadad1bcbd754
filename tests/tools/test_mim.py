"""What `mim train tr2m_plugin CONFIG` runs, through mim itself."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData

from tests.support import tree_ibims, tree_nyu
from tr2m_plugin.benchmark.datasets import index_dataset
from tr2m_plugin.datasets.parquet import write_rows
from tr2m_plugin.datasets.readers import load_depth, load_picture
from tr2m_plugin.evaluation import measure, protocol_of
from tr2m_plugin.registry import MODELS, scoped
from tr2m_plugin.rows import IndexRow
from tr2m_plugin.structures import DepthDataSample
from tr2m_plugin.tools.train import load_config

NEWCRFS = "configs/newcrfs/newcrfs_swinl_50e_nyu.py"
SMALL = {"model.version": "mini07", "model.pretrained": None, "test_dataloader.num_workers": 0}

OPTIONS = (
    "train_cfg.max_iters=2 train_cfg.val_interval=2 train_dataloader.batch_size=2 default_hooks.checkpoint.interval=2"
)


@pytest.mark.parametrize("config", ["{repository}/configs/tr2m_mini.py", "tr2m_mini.py"])
def test_mim_train_by_path_and_by_base_name(world, repository, tmp_path, config):
    command = ["train", "tr2m_plugin", config.format(repository=repository), "--work-dir", tmp_path / "w"]
    run_mim(tmp_path, world, *command, "--cfg-options", *OPTIONS.split())
    assert (tmp_path / "w" / "iter_2.pth").is_file()


def run_mim(folder, root, *arguments):
    """Runs mim in a folder, with the pipeline's tables in another."""
    mim = Path(sys.executable).with_name("mim")
    if not mim.is_file():
        mim = Path(shutil.which("mim") or pytest.skip("mim is not installed"))
    done = subprocess.run(
        [str(mim), *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "TR2M_DATA_ROOT": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_mim_test_measures_newcrfs_on_nyu_and_zero_shot_on_ibims(repository, tmp_path):
    """Both columns of Table 8, from an index alone."""
    tree_nyu.make(tmp_path / "nyu", train=0, test=1)
    (tmp_path / "ibims").mkdir()
    tree_ibims.make(tmp_path / "ibims", test=2)
    entries = [{"type": name, "root": str(tmp_path / name), "splits": ["test"]} for name in ("nyu", "ibims")]
    rows = [row for entry in entries for row in index_dataset(entry)]
    write_rows(tmp_path / "index.parquet", IndexRow, rows)
    torch.manual_seed(0)
    model = MODELS.build(scoped(load_config(str(repository / NEWCRFS), SMALL).model)).eval()
    torch.save({"state_dict": model.state_dict()}, tmp_path / "weights.pth")
    command = ["test", "tr2m_plugin", repository / NEWCRFS, "--checkpoint", tmp_path / "weights.pth"]
    command += ["--work-dir", tmp_path / "w", "--cfg-options", *(f"{name}={value}" for name, value in SMALL.items())]
    run_mim(tmp_path, tmp_path, *command)
    (report,) = (tmp_path / "w").glob("*/*.json")
    found = json.loads(report.read_text())
    assert (found["nyu/images"], found["ibims/images"]) == (1, 2)
    for name in ("nyu", "ibims"):
        numbers = [slow_measure(model, row) for row in rows if row.dataset == name]
        for metric in ("abs_rel", "rmse", "d1"):
            assert found[f"{name}/{metric}"] == pytest.approx(np.mean([one[metric] for one in numbers]), rel=1e-3)


@torch.no_grad()
def slow_measure(model, row):
    pixels = torch.from_numpy(load_picture(row).transpose(2, 0, 1).copy())
    sample = DepthDataSample(gt_depth_map=PixelData(data=torch.zeros(1, *pixels.shape[1:])))
    (out,) = model.test_step({"inputs": [pixels], "data_samples": [sample]})
    return measure(out.pred_depth_map.data[0].numpy(), load_depth(row), protocol_of(row))
