import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import DataLoader

from tr2m_plugin.datasets.table_dataset import TableDataset
from tr2m_plugin.workers import end_with_parent

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="looks at processes in /proc")


def is_alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def killed_while_reading(options, out):
    """A process with a loader, killed with more read than it has taken; the ids of its workers."""
    process = os.fork()
    if process == 0:
        pictures = [np.zeros(300_000, np.uint8)] * 200
        loader = iter(DataLoader(pictures, 4, num_workers=2, collate_fn=list, prefetch_factor=8, **options))
        next(loader)
        time.sleep(0.3)
        out.write_text(" ".join(str(child.pid) for child in multiprocessing.active_children()))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(process, 0)
    return [int(word) for word in out.read_text().split()]


def test_a_loaders_workers_end_with_their_parent(tmp_path):
    workers = killed_while_reading({"worker_init_fn": end_with_parent}, tmp_path / "ids")
    assert len(workers) == 2
    end = time.monotonic() + 10
    while any(map(is_alive, workers)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not any(map(is_alive, workers))


def test_the_datasets_of_training_watch_too(world, monkeypatch):
    seen = []
    monkeypatch.setattr("tr2m_plugin.datasets.table_dataset.end_with_parent", lambda: seen.append(1))
    data = TableDataset(data_root=str(world), split="val", test_mode=True)
    data.get_data_info(0)
    assert not seen, "not in the process that trains"
    monkeypatch.setattr("tr2m_plugin.datasets.table_dataset.get_worker_info", lambda: object())
    data.get_data_info(0)
    assert seen
