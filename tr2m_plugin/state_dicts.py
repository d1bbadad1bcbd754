"""State dicts: reading them, the one check whether they fit a model, and the names of Swin encoders."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tr2m_plugin.checkpoint import load_checkpoint, state_of
from tr2m_plugin.errors import InputError

Rules = Sequence[tuple[str, Any]]
"""Patterns, and what takes their place, as `re.sub` takes it."""

SWIN_RULES: Rules = [
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


def _renamed(name: str, rules: Rules) -> str:
    """A name after each rule in turn: a pattern, and what `re.sub` puts in its place."""
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def rename_tensors(
    state: Mapping[str, Tensor], unused: re.Pattern[str], rules: Callable[[str], Rules | None]
) -> dict[str, Tensor]:
    """A published state dict under our names.

    Args:
        state: the state dict; names may begin with `module.`.
        unused: found in the names of tensors that are left out.
        rules: gives the rules for a name; None for a tensor of the original Swin encoder.
    """
    out: dict[str, Tensor] = {}
    for original, value in state.items():
        name = original.removeprefix("module.")
        if unused.search(name):
            continue
        own = rules(name)
        out.update(_swin_tensors(name, value) if own is None else {_renamed(name, own): value})
    return out


def _swin_tensors(name: str, value: Tensor) -> dict[str, Tensor]:
    """A tensor of the original Swin encoder under transformers' names: query, key and value apart."""
    name = _renamed(name, SWIN_RULES)
    if ".attn.qkv." not in name:
        return {name: value}
    parts = zip("qkv", value.chunk(3), strict=True)
    return {name.replace(".attn.qkv.", f".attention.{part}_proj."): tensor for part, tensor in parts}


def read_weights(source: Mapping[str, Any] | str | os.PathLike) -> tuple[str, dict[str, Tensor]]:
    """A state dict, and what to call it in messages.

    Args:
        source: a state dict, or a file that holds one, by itself or under `model` or `state_dict`.

    Raises:
        InputError: the file cannot be read, or holds something else than tensors.
        UnsafeCheckpointError: the file holds code.
    """
    if isinstance(source, Mapping):
        return "the state dict", _inner(source)
    name = os.fspath(source)
    return name, state_of(_inner(load_checkpoint(source)), name)


def _inner(content: Mapping[str, Any]) -> dict[str, Any]:
    for key in ("model", "state_dict"):
        inner = content.get(key)
        content = inner if isinstance(inner, Mapping) else content
    return {key: torch.as_tensor(value) if hasattr(value, "shape") else value for key, value in content.items()}


def fit(
    model: nn.Module,
    found: Mapping[str, Tensor],
    source: str | os.PathLike,
    spare: Callable[[str], bool] = lambda name: False,
    more: bool = False,
    named: Callable[[str], str] = lambda name: name,
) -> dict[str, Tensor]:
    """The tensors of a state dict that a model holds, after a check that they are its own.

    Args:
        model: what they are for.
        found: the state dict under the model's names.
        source: where it came from, for messages.
        spare: says of a name whether it may be missing. Default: none may.
        more: whether other tensors may be there, which are left out. Default: False.
        named: what messages call a tensor. Default: its name.

    Raises:
        InputError: tensors are missing, left over, of another shape or of another kind of number; the message counts
            them and names the first.
    """
    own = model.state_dict()
    both = {name: (found[name], tensor) for name, tensor in own.items() if name in found}
    missing = sorted(named(name) for name in own if name not in found and not spare(name))
    left_over = [] if more else sorted(named(name) for name in found if name not in own)
    shapes = [
        f"{named(name)} is {tuple(given.shape)}, not {tuple(wanted.shape)}"
        for name, (given, wanted) in both.items()
        if given.shape != wanted.shape
    ]
    kinds = [
        f"{named(name)} is {given.dtype}, not {wanted.dtype}"
        for name, (given, wanted) in both.items()
        if given.is_floating_point() != wanted.is_floating_point()
    ]
    problems = [
        f"{len(names)}{f' of {len(own)}' if what == 'are missing' else ''} tensors {what} ({_some(names)})"
        for names, what in (
            (missing, "are missing"),
            (left_over, "are left over"),
            (shapes, "have another shape"),
            (kinds, "are another kind of number"),
        )
        if names
    ]
    if problems:
        raise InputError(f"{os.fspath(source)} does not fit: {'; '.join(problems)}")
    return {name: given.contiguous() for name, (given, _) in both.items()}


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
