"""What loading other authors' weights has in common: reading them, Swin encoders, and naming what does not fit."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tr2m_plugin.checkpoint import load_checkpoint
from tr2m_plugin.errors import InputError

SWIN_RULES: list[tuple[str, Any]] = [
    (r"^backbone\.patch_embed\.proj\.", "backbone.swin.embeddings.patch_embeddings.projection."),
    (r"^backbone\.patch_embed\.norm\.", "backbone.swin.embeddings.norm."),
    (r"^backbone\.norm(\d)\.", lambda m: f"backbone.hidden_states_norms.stage{int(m[1]) + 1}."),
    (r"^backbone\.layers\.", "backbone.swin.encoder.layers."),
    (r"(?<=\d)\.attn\.proj\.", ".attention.o_proj."),
    (r"(?<=\d)\.attn\.relative_position_bias_table$", ".attention.relative_position_bias.relative_position_bias_table"),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
]
"""From the original Swin encoder's names, under `backbone.`, to those of transformers' `SwinBackbone`."""


def swin_names(name: str, value: Tensor) -> dict[str, Tensor]:
    """A tensor of the original Swin encoder under transformers' names: query, key and value apart."""
    for pattern, replacement in SWIN_RULES:
        name = re.sub(pattern, replacement, name)
    if ".attn.qkv." not in name:
        return {name: value}
    parts = zip("qkv", value.chunk(3), strict=True)
    return {name.replace(".attn.qkv.", f".attention.{part}_proj."): tensor for part, tensor in parts}


def read_original(source: Mapping[str, Any] | str | os.PathLike) -> tuple[str, dict[str, Tensor]]:
    """A state dict, and what to call it in messages.

    Args:
        source: a state dict, or a file that holds one, by itself or under `model` or `state_dict`.

    Raises:
        InputError: the file cannot be read.
        UnsafeCheckpointError: the file holds code.
    """
    content: Mapping[str, Any]
    if isinstance(source, Mapping):
        name, content = "the state dict", source
    else:
        name, content = os.fspath(source), load_checkpoint(source)
    for key in ("model", "state_dict"):
        inner = content.get(key)
        content = inner if isinstance(inner, Mapping) else content
    return name, {key: torch.as_tensor(value) for key, value in content.items() if hasattr(value, "shape")}


def load_exactly(
    model: nn.Module, found: Mapping[str, Tensor], name: str, spare: Callable[[str], bool] = lambda key: False
) -> None:
    """Loads a state dict that must hold all of a model's tensors and no others.

    Args:
        model: changed in place.
        found: the state dict under the model's names.
        name: of where it came from, for messages.
        spare: says of a name whether it may be missing. Default: none may.

    Raises:
        InputError: tensors are missing, left over or of another shape; the message names them.
    """
    own = model.state_dict()
    missing = sorted(key for key in own if key not in found and not spare(key))
    left_over = sorted(key for key in found if key not in own)
    shapes = [
        f"{k} is {tuple(v.shape)}, not {tuple(own[k].shape)}"
        for k, v in found.items()
        if k in own and v.shape != own[k].shape
    ]
    problems = [
        f"{len(keys)} tensors {what} ({', '.join(keys[:3])})"
        for keys, what in ((missing, "are missing"), (left_over, "are left over"), (shapes, "have another shape"))
        if keys
    ]
    if problems:
        raise InputError(f"{name} does not fit: {'; '.join(problems)}")
    model.load_state_dict(found, strict=False)
