"""The runner of `tools/train.py`: alone in its work folder, resuming from what can be read, stopping with one line."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from filelock import FileLock, Timeout
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn

from tr2m_plugin.errors import InputError, TR2MError
from tr2m_plugin.resuming import check_optimizer, check_training_state, check_weights, newest_checkpoint

LOCK = ".lock"
PATIENCE = 20.0
"""Seconds to wait for a work folder: data workers of a killed training hold it for a moment longer."""

REFUSED = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG", "EIO", "EROFS", "EACCES", "EPERM", "ENOTDIR")}
"""What the system says to writers when a disk is full, broken or not ours."""


class WeightsRunner(Runner):
    """MMEngine's runner, which takes no weights of another model; MMEngine warns of them and goes on without.

    Attributes:
        complete: whether a checkpoint must hold all of the model's weights. Default: True.
    """

    complete = True

    def load_checkpoint(self, filename: str, *args: Any, **kwargs: Any) -> dict:
        """See MMEngine's.

        Raises:
            InputError: the checkpoint is of another model.
        """
        checkpoint = super().load_checkpoint(filename, *args, **kwargs)
        check_weights(checkpoint, self._bare_model(), filename, self.complete)
        return checkpoint

    def _bare_model(self) -> nn.Module:
        return self.model.module if is_model_wrapper(self.model) else self.model


class TrainingRunner(WeightsRunner):
    """MMEngine's runner, whose resuming says in one line what is wrong with a checkpoint."""

    complete = False

    def go_on(self, resume: bool | str) -> None:
        """Decides what training resumes from: True for the work folder's newest checkpoint that can be read."""
        found = [resume if isinstance(resume, str) else None]
        if resume is True and is_main_process():
            found = [newest_checkpoint(self.work_dir)]
            print_log(
                f"resuming from {found[0]}" if found[0] else f"{self.work_dir} holds no checkpoint yet", "current"
            )
        broadcast_object_list(found)
        self._resume = found[0] is not None
        # With `resume` and `load_from`, MMEngine would resume from the weights that training was to start from.
        if found[0] is not None:
            self._load_from = found[0]

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """See MMEngine's.

        Raises:
            InputError: the checkpoint is none of a training, or of another model or optimizer.
        """
        try:
            super().resume(filename, *args, **kwargs)
        except TR2MError:
            raise
        except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as e:
            reason = " ".join(f"{type(e).__name__}: {e}".split())[:300]
            raise InputError(f"{filename} cannot be resumed with this config ({reason})") from e

    def load_checkpoint(self, filename: str, *args: Any, **kwargs: Any) -> dict:
        """See MMEngine's; when resuming, the checkpoint is held to the model and the optimizer."""
        checkpoint = super().load_checkpoint(filename, *args, **kwargs)
        if self._resume:
            check_training_state(checkpoint, filename)
            known = isinstance(self.optim_wrapper, OptimWrapper)
            check_optimizer(checkpoint, self.optim_wrapper.state_dict() if known else {}, filename)
        return checkpoint


@contextmanager
def alone_in(folder: str) -> Iterator[None]:
    """A block in which no other training writes to a work folder.

    In distributed training the main process holds the lock for all.

    Raises:
        InputError: another training still holds it after `PATIENCE`.
    """
    lock = FileLock(os.path.join(folder, LOCK))
    problem: list[str | None] = [None]
    if is_main_process():
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print_log(f"waiting for another training in {folder}", "current", logging.WARNING)
            try:
                lock.acquire(timeout=PATIENCE)
            except Timeout:
                problem = [
                    f"another training is writing to {folder}: wait for it or end it "
                    f"(`fuser {lock.lock_file}` names its process)"
                ]
        except NotImplementedError:
            print_log(f"{folder} cannot be locked: nothing else may train there", "current", logging.WARNING)
    broadcast_object_list(problem)
    if problem[0]:
        raise InputError(problem[0])
    try:
        yield
    finally:
        lock.release()


@contextmanager
def stopping_clearly(folder: str) -> Iterator[None]:
    """A block that writes to a work folder.

    Raises:
        InputError: the disk is full or refuses; the message names the last checkpoint that can be read.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in REFUSED or isinstance(error, TR2MError):
            raise
        last = newest_checkpoint(folder) if os.path.isdir(folder) else None
        goes_on = f"the last good checkpoint is {last}: make room and resume" if last else "there is no checkpoint yet"
        what = error.filename or folder
        raise InputError(f"training stopped at {what}: {error.strerror or error}; {goes_on}") from error
