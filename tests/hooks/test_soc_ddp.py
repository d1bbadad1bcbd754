"""The hook under DistributedDataParallel: two processes, each with its own pictures, before and after it starts."""

import os
import socket
import subprocess
import sys

import torch

SCRIPT = """
import sys
from pathlib import Path

import torch
import torch.distributed as dist

sys.path[:0] = [{repository!r}, {here!r}]
dist.init_process_group("gloo")
from test_soc_hook import HOOK, run, soc

wrapper = dict(type="MMDistributedDataParallel", device_ids=None)
hook = {{**HOOK, "start": 2, "by_epoch": False}}
runner = run(Path({out!r}), hook, wrapper=wrapper)
state = {{**runner.model.module.state_dict(), **{{f"key.{{k}}": v for k, v in soc(runner)._key.state_dict().items()}}}}
torch.save(state, Path({out!r}) / f"rank{{dist.get_rank()}}.pt")
"""


def test_two_processes_stay_together(tmp_path, repository):
    script = tmp_path / "job.py"
    here = str(repository / "tests" / "hooks")
    script.write_text(SCRIPT.format(repository=str(repository), here=here, out=str(tmp_path)))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    jobs = [
        subprocess.Popen(
            [sys.executable, str(script)],
            env={**os.environ, **settings, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    outputs = [job.communicate(timeout=120)[0] for job in jobs]
    assert all(job.returncode == 0 for job in jobs), "\n".join(output[-3000:] for output in outputs)
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2))
    assert any(name.startswith("soc_projector") for name in first)
    for name, value in first.items():
        if "running_" not in name:  # batch statistics are each process's own
            torch.testing.assert_close(value, second[name], rtol=0, atol=0, msg=name)
