"""Optimizer wrappers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from tr2m_plugin.device import precision
from tr2m_plugin.errors import InputError
from tr2m_plugin.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """Training in bfloat16 autocast on any device, processors among them.

    MMEngine's `AmpOptimWrapper` refuses to run without a GPU. bfloat16 has float32's range, so no loss is scaled; for
    float16, which needs that, take MMEngine's.

    Args:
        dtype: precision of autocast. Default: bfloat16.
        **kwargs: options of MMEngine's `OptimWrapper`.

    Raises:
        InputError: the type is float16 or none at all.
    """

    def __init__(self, dtype: str = "bfloat16", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dtype = precision(dtype)
        if self.dtype == torch.float16:
            raise InputError("float16 needs its loss scaled: take type='mmengine.AmpOptimWrapper', or bfloat16 here")

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Accumulation as in the base class, and autocast on the model's device."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, self.dtype):
            yield
