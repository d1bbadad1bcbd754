"""Ray for a while: the cluster that RAY_ADDRESS names, or one started for this run alone and stopped with it."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager

from psutil import Process, wait_procs
from tqdm import tqdm

from tr2m_plugin.errors import InputError, require

LONGEST_PARENT = 26
"""Bytes of a folder below which Ray's sockets have names that every system takes: 104 bytes with Ray's own folders."""

DEFAULTS = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""What Ray is told where the user has not."""

LOCAL_DEFAULTS = {
    # On a busy machine the parts of Ray need longer to find each other than the 30 s that Ray gives them.
    "RAY_agent_register_timeout_ms": "180000",
    "RAY_raylet_start_wait_time_s": "60",
    # Ray listens on all interfaces, so it keeps a token, which it would otherwise look for in the home folder.
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
}
"""The same for Ray of our own."""


@contextmanager
def ray_session(name: str) -> Iterator[bool]:
    """Ray while the block runs.

    The cluster that RAY_ADDRESS names is used as it is. Without one, Ray is started for this block alone: it takes
    nothing from the home folder and leaves neither processes nor files behind. Where it cannot start, a line says so.

    Args:
        name: name of the stage, for messages.

    Yields:
        Whether there is Ray.

    Raises:
        InputError: the cluster cannot be used; the message says why.
    """
    attach = os.environ.get("RAY_ADDRESS", "local") != "local"
    for variable, value in {**DEFAULTS, **({} if attach else LOCAL_DEFAULTS)}.items():
        os.environ.setdefault(variable, value)
    ray = require("ray", "to work in several processes; `workers: 0` works in this one", "pipeline")
    logging.getLogger("ray").setLevel(logging.ERROR)
    if ray.is_initialized():
        yield True
    elif attach:
        _attach()
        try:
            yield True
        finally:
            ray.shutdown()
    else:
        with ExitStack() as leave:
            yield _start(name, leave)


def _attach() -> None:
    import ray

    try:
        ray.init(log_to_driver=False, configure_logging=False)
    except Exception as error:  # no server, another version or token: each is an error of another kind
        ray.shutdown()
        raise InputError(
            f"no Ray cluster can be used at RAY_ADDRESS={os.environ['RAY_ADDRESS']}: is it running, and are its token, "
            f"RAY_AUTH_MODE and versions the same here? ({one_line(error)})"
        ) from error


def _start(name: str, leave: ExitStack) -> bool:
    import ray

    for last in (False, True):
        before = set(Process().children())
        try:
            folder = _short_folder(leave)
            leave.callback(ray.shutdown)
            ray.init(
                address="local",
                include_dashboard=False,
                log_to_driver=False,
                configure_logging=False,
                object_store_memory=256 * 1024**2,
                _temp_dir=folder,
            )
            return True
        except Exception as error:  # whatever a part of Ray met
            leave.close()
            _end(set(Process().children()) - before)
            if last:
                tqdm.write(
                    f"{name}: Ray does not start, so one process works alone ({one_line(error)})", file=sys.stderr
                )
    return False


def _end(processes: Collection[Process]) -> None:
    """Ends what Ray started before it failed, and has forgotten."""
    for process in processes:
        for child in [*process.children(recursive=True), process]:
            child.kill()
    wait_procs(processes, timeout=10)


def _short_folder(leave: ExitStack) -> str:
    for parent in (os.environ.get("RAY_TMPDIR"), tempfile.gettempdir(), "/tmp"):
        if parent and len(os.fsencode(parent)) <= LONGEST_PARENT and os.access(parent, os.W_OK):
            folder = tempfile.mkdtemp(prefix="ray-", dir=parent)
            leave.callback(shutil.rmtree, folder, ignore_errors=True)
            return folder
    raise OSError(f"no folder with a name of at most {LONGEST_PARENT} bytes can be written: set RAY_TMPDIR")


def one_line(error: BaseException) -> str:
    """What an error says first, without Ray's colours."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else repr(error)
