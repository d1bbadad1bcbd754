"""Processors of rows that hold a number, for shards that Ray's workers compute; workers import them from here."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import ray

from tr2m_plugin.errors import InputError

ROWS = [{"dataset": "d", "sample_id": f"{i:03d}", "value": i} for i in range(8)]


class Square:
    """Squares a row's value; `deadly` values kill their worker, `slow` ones hang it the first time."""

    def __init__(self, deadly=(), slow=(), folder=None, broken=None, device="cpu"):
        if broken == "model":
            raise InputError("model.bin is no model")
        if broken == "machine":
            os.kill(os.getpid(), signal.SIGKILL)
        self.deadly, self.slow, self.folder = deadly, slow, folder

    def load(self, row):
        return row["value"]

    def compute(self, items):
        if set(items) & set(self.deadly):
            os.kill(os.getpid(), signal.SIGKILL)
        if set(items) & set(self.slow) and not (Path(self.folder) / "hung").exists():
            (Path(self.folder) / "hung").touch()
            time.sleep(600)
        return [np.array([item**2]) for item in items]


class Gate:
    """Squares a row's value once the file `go` is there; says before which node it is on."""

    def __init__(self, folder, device="cpu"):
        self.folder = Path(folder)

    def load(self, row):
        return row["value"]

    def compute(self, items):
        (self.folder / ray.get_runtime_context().get_node_id()).touch()
        wait_until(lambda: (self.folder / "go").exists())
        return [np.array([item**2]) for item in items]


def wait_until(condition):
    deadline = time.monotonic() + 110
    while not condition():
        assert time.monotonic() < deadline, "nothing came in 110 s"
        time.sleep(0.05)
