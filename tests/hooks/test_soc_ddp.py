"""The hook under DistributedDataParallel: two processes, each with its own pictures, before and after it starts."""

import torch

SCRIPT = """
import sys
from pathlib import Path

import torch
import torch.distributed as dist

sys.path[:0] = [{repository!r}, {here!r}]
dist.init_process_group("gloo")
from tests.support.somebodys_model import HOOK, run, weights

wrapper = dict(type="MMDistributedDataParallel", device_ids=None)
hook = {{**HOOK, "start": 2, "by_epoch": False}}
runner = run(Path({out!r}), hook, wrapper=wrapper)
torch.save(weights(runner), Path({out!r}) / f"rank{{dist.get_rank()}}.pt")
"""


def test_two_processes_stay_together(tmp_path, repository, two_processes):
    here = str(repository / "tests" / "hooks")
    two_processes(SCRIPT.format(repository=str(repository), here=here, out=str(tmp_path)))
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2))
    assert any(name.startswith("soc_projector") for name in first)
    for name, value in first.items():
        if "running_" not in name:  # batch statistics are each process's own
            torch.testing.assert_close(value, second[name], rtol=0, atol=0, msg=name)
