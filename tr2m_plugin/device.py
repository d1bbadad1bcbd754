"""Where networks run, and how precisely."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tr2m_plugin.errors import InputError

if TYPE_CHECKING:
    import torch


def pick_device(wanted: str = "auto") -> str:
    """A torch device: `wanted`, or for "auto" the accelerator where there is one.

    Raises:
        InputError: there is no such device.
    """
    import torch
    from mmengine.device import get_device

    if wanted == "auto":
        return get_device()
    try:
        torch.zeros(1, device=wanted)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"device {wanted!r} cannot be used: {str(error).splitlines()[0]}") from error
    return wanted


def precision(name: str) -> torch.dtype:
    """The floating-point type of that name.

    Raises:
        InputError: there is none.
    """
    import torch

    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise InputError(f"dtype must be float32, float16 or bfloat16, not {name!r}")
    return dtype
