"""The authors' NeWCRFs weights: their names, and ours (aliyun/NeWCRFs, MIT)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tr2m_plugin.checkpoint import load_checkpoint
from tr2m_plugin.errors import InputError

RULES: list[tuple[str, Any]] = [
    (r"^backbone\.patch_embed\.proj\.", "backbone.swin.embeddings.patch_embeddings.projection."),
    (r"^backbone\.patch_embed\.norm\.", "backbone.swin.embeddings.norm."),
    (r"^backbone\.norm(\d)\.", lambda m: f"backbone.hidden_states_norms.stage{int(m[1]) + 1}."),
    (r"^backbone\.layers\.", "backbone.swin.encoder.layers."),
    (r"(?<=\d)\.attn\.proj\.", ".attention.o_proj."),
    (r"(?<=\d)\.attn\.relative_position_bias_table$", ".attention.relative_position_bias.relative_position_bias_table"),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
]
"""From the authors' names of the encoder to transformers'."""

DECODER_RULES: list[tuple[str, Any]] = [
    (r"^crf(\d)\.", r"levels.\1."),
    (r"\.proj_x\.", ".project_features."),
    (r"\.proj_v\.", ".project_potential."),
    (r"\.crf_layer\.blocks\.", ".crfs."),
    (r"\.norm1\.", ".norm_pairs."),
    (r"\.norm2\.", ".norm_mlp."),
    (r"\.attn\.relative_position_bias_table$", ".position_bias"),
    (r"\.attn\.qk\.", ".query_key."),
    (r"\.attn\.proj\.", ".project."),
    (r"\.mlp\.fc1\.", ".mlp.0."),
    (r"\.mlp\.fc2\.", ".mlp.2."),
    (r"\.norm_crf\.", ".norm."),
    (r"^decoder\.psp_modules\.(\d)\.1\.conv\.", r"pooling.branches.\1.1."),
    (r"^decoder\.psp_modules\.(\d)\.1\.gn\.", r"pooling.branches.\1.2."),
    (r"^decoder\.bottleneck\.conv\.", "pooling.mix.0."),
    (r"^decoder\.bottleneck\.bn\.", "pooling.mix.1."),
    (r"^disp_head1\.conv1\.", "head."),
]
"""From the authors' names of the decoder to ours."""


def convert(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' state dict under our names: the encoder's query, key and value apart, index buffers left out."""
    out: dict[str, Tensor] = {}
    for original, value in state.items():
        name = original.removeprefix("module.")
        if name.endswith("relative_position_index"):
            continue
        if name.startswith("backbone."):
            out.update(swin_names(name, value))
            continue
        for pattern, replacement in DECODER_RULES:
            name = re.sub(pattern, replacement, name)
        out[name] = value
    return out


def swin_names(name: str, value: Tensor) -> dict[str, Tensor]:
    """A tensor of the original Swin encoder under transformers' names: query, key and value apart."""
    for pattern, replacement in RULES:
        name = re.sub(pattern, replacement, name)
    if ".attn.qkv." not in name:
        return {name: value}
    parts = zip("qkv", value.chunk(3), strict=True)
    return {name.replace(".attn.qkv.", f".attention.{part}_proj."): tensor for part, tensor in parts}


def load_newcrfs_weights(model: nn.Module, source: Mapping[str, Tensor] | str | os.PathLike) -> None:
    """Loads the authors' weights into a `NeWCRFs` of the same version.

    Args:
        model: the network, changed in place.
        source: a state dict, or a file that holds one, by itself or under `model` or `state_dict`; names may begin with
            `module.`.

    Raises:
        InputError: the file cannot be read, or tensors are missing, left over or of another shape; the message names
            them.
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
    found = convert({k: v for k, v in content.items() if isinstance(v, torch.Tensor)})
    own = model.state_dict()
    missing = sorted(key for key in own if key not in found)
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
    model.load_state_dict(found)
