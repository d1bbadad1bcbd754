"""Worker processes that end with the one they work for, however that ends."""

from __future__ import annotations

import os
import threading
import time
from multiprocessing import parent_process

INTERVAL = 1.0
"""Seconds between two looks at the parent."""

_watching: int | None = None


def end_with_parent(*_: object) -> None:
    """Ends this process soon after its parent, by a thread that looks; once is enough in a process.

    A loader's worker whose parent was killed would wait for ever to hand over what it read. For
    `DataLoader(worker_init_fn=...)`, whose number of the worker is not needed, and for `initializer=` of pools.
    """
    global _watching
    if _watching != os.getpid():  # a forked child has the variable, not the thread
        _watching = os.getpid()
        threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(parent: int) -> None:
    # The parent of a worker of a fork server is that server, which lives as long as its workers.
    served = parent_process()
    while os.getppid() == parent and (served is None or served.is_alive()):
        time.sleep(INTERVAL)
    os._exit(1)
