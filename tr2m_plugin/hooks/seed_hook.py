"""Random choices that repeat when training resumes."""

from __future__ import annotations

import random

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner, set_random_seed

from tr2m_plugin.registry import FUNCTIONS, HOOKS


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seeds Python, NumPy and torch anew at every epoch, from the runner's seed, the epoch and the process's rank.

    MMEngine seeds once, so that an epoch-based training that resumes draws other descriptions than one that was never
    interrupted. With this hook it draws the same ones; where there are workers, they must not be persistent, and the
    data loader needs `worker_init_fn=dict(type="tr2m_plugin.seed_worker")`.
    """

    def before_train_epoch(self, runner: Runner) -> None:
        """Seeds the epoch that begins."""
        set_random_seed(int(np.random.SeedSequence([runner.seed, runner.epoch, get_rank()]).generate_state(1)[0]))


@FUNCTIONS.register_module()
def seed_worker(worker_id: int) -> None:
    """Seeds a data worker's Python and NumPy from its torch seed, which follows the main process's generator.

    Args:
        worker_id: number of the worker, which its torch seed holds already.
    """
    seed = torch.initial_seed() % 2**32
    np.random.seed(seed)
    random.seed(seed)
