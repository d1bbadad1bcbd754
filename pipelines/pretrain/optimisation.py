"""The step of an optimiser that the pretraining of both kinds of networks takes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler


def take_step(loss: Tensor, model: nn.Module, optimizer: torch.optim.Optimizer, schedule: LRScheduler) -> float:
    """Brings a loss down by one step, with gradients clipped at a norm of 1.

    Args:
        loss: a scalar that depends on the model's parameters.
        model: changed in place.
        optimizer: optimiser of the model's parameters.
        schedule: schedule of the learning rate, which goes on by one step.

    Returns:
        The loss before the step.
    """
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    schedule.step()
    return loss.item()
