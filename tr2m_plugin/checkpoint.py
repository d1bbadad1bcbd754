"""Loading checkpoints without running anything they carry.

MMEngine 0.10.7 cannot read its own checkpoints with torch 2.6 or newer, and later forks fall back to a full unpickling,
which runs whatever a file tells it to. This loader reads weights and training state only.
"""

from __future__ import annotations

import hashlib
import os
import re
from functools import cache
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader

from tr2m_plugin.errors import InputError, UnsafeCheckpointError

_HISTORY_METHODS = ("min", "max", "mean", "current")


def _history_method(owner: Any, name: str) -> Any:
    """Stands in for `getattr` in MMEngine's message hub, whose statistics refer to methods of `HistoryBuffer`."""
    if owner is HistoryBuffer and name in _HISTORY_METHODS:
        return getattr(HistoryBuffer, name)
    raise UnsafeCheckpointError(f"it asks for the attribute {name!r} of {owner!r}")


def _safe_globals() -> list[Any]:
    from numpy._core import multiarray

    dtypes = [type(np.dtype(name)) for name in ("float64", "float32", "int64", "int32", "bool")]
    return [
        HistoryBuffer,
        np.ndarray,
        np.dtype,
        *dtypes,
        multiarray._reconstruct,
        multiarray.scalar,
        (_history_method, "builtins.getattr"),
    ]


def load_checkpoint(path: str | os.PathLike, map_location: Any = "cpu") -> dict[str, Any]:
    """Reads a checkpoint of MMEngine's, a plain state dict or a .safetensors file.

    Args:
        path: the file.
        map_location: where tensors go. Default: cpu.

    Raises:
        InputError: the file is missing or is no checkpoint.
        UnsafeCheckpointError: the file holds other objects than tensors and training state.
    """
    name = os.fspath(path)
    if os.path.isdir(name):
        raise InputError(f"{name} is a folder, not a checkpoint")
    if not os.path.isfile(name):
        raise InputError(f"{name} does not exist")
    if name.endswith(".safetensors"):
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return {"state_dict": load_file(name)}
        except SafetensorError as error:
            raise InputError(f"{name} is not a readable safetensors file: {error}") from error
    try:
        with torch.serialization.safe_globals(_safe_globals()):
            content = torch.load(name, map_location=map_location, weights_only=True)
    except UnsafeCheckpointError as error:
        raise UnsafeCheckpointError(f"{name} is not loaded: {error}") from error
    except Exception as error:  # what a broken file makes of an unpickler is anybody's guess
        refused = re.search(r"GLOBAL (\S+)", str(error))
        if refused:
            raise UnsafeCheckpointError(
                f"{name} is not loaded: beside weights it holds {refused[1]}, which could run code"
            ) from error
        raise InputError(f"{name} is not a readable checkpoint ({type(error).__name__})") from error
    if not isinstance(content, dict):
        raise InputError(f"{name} holds a {type(content).__name__}, not a dict of weights")
    if isinstance(content.get("meta"), dict):
        content["meta"].pop("config", None)  # which MMEngine, resuming, would run as Python
    return content


def state_hash(module: torch.nn.Module) -> str:
    """Twelve digits that name a module's weights: equal for equal names, types and numbers, wherever they come from."""
    total = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        plain = tensor.detach().cpu().contiguous()
        total.update(f"{name} {plain.dtype} {tuple(plain.shape)}".encode())
        total.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()[:12]


def load_from_local_safely(filename: str, map_location: Any = None) -> dict[str, Any]:
    """The loader of local files that MMEngine's `CheckpointLoader` calls; its name must start with `load_from_`."""
    return load_checkpoint(filename, map_location)


def load_from_http_safely(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Downloads into torch's hub folder once, then loads like a local file."""
    folder = os.path.join(torch.hub.get_dir(), "checkpoints")
    os.makedirs(folder, exist_ok=True)
    target = os.path.join(folder, os.path.basename(filename.partition("?")[0]))
    if not os.path.isfile(target):
        torch.hub.download_url_to_file(filename, target)
    return load_checkpoint(target, map_location)


@cache
def register_safe_loader() -> None:
    """Makes every checkpoint that MMEngine loads from a file or the web go through `load_checkpoint`."""
    CheckpointLoader.register_scheme(prefixes="", loader=load_from_local_safely, force=True)
    CheckpointLoader.register_scheme(prefixes=("http://", "https://"), loader=load_from_http_safely, force=True)
