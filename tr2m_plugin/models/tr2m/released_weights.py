"""The authors' released weights: their names, and ours (BeileiCui/TR2M; facts only, no code)."""

from __future__ import annotations

import os

from torch import Tensor

from tr2m_plugin.checkpoint import load_checkpoint, state_of
from tr2m_plugin.errors import InputError
from tr2m_plugin.models.tr2m.rescale_net import RescaleNet
from tr2m_plugin.state_dicts import fit

LAYERS = {
    "align_mlp.a_fc": "fusion.align.0",
    "crossattn.attn": "fusion.self_attention",
    "crossattn.attn_cross": "fusion.text_attention",
    "crossattn.ln_1": "fusion.norm_self",
    "crossattn.ln_2": "fusion.norm_mlp",
    "crossattn.ln_text": "fusion.norm_text",
    "crossattn.ln_visual": "fusion.norm_image",
    "crossattn.mlp.c_fc": "fusion.mlp.0",
    "crossattn.mlp.c_proj": "fusion.mlp.2",
    "projects": "project",
    "resize_layers": "upsample",
    "layer1_rn": "reduce",
    "resConfUnit1": "unit1",
    "resConfUnit2": "unit2",
    "out_conv1": "mix1",
    "out_conv2": "mix2",
    "output_conv_scale1": "scale_head.reduce",
    "output_conv_scale2.0": "scale_head.expand",
    "output_conv_scale2.2": "scale_head.project",
    "output_conv_shift1": "shift_head.reduce",
    "output_conv_shift2.0": "shift_head.expand",
    "output_conv_shift2.2": "shift_head.project",
}
"""Names of the released head's layers, and of ours."""


def _ours(name: str) -> str | None:
    """Our name of a released tensor; None for a name that is not the head's."""
    for layer in sorted(LAYERS, key=len, reverse=True):
        if name.startswith(f"{layer}."):
            return LAYERS[layer] + name[len(layer) :]
    return None


def _theirs(name: str) -> str:
    """The released name of one of our tensors; one that is not the head's keeps its own."""
    known = [(released, ours) for released, ours in LAYERS.items() if name.startswith(f"{ours}.")]
    released, ours = max(known, key=lambda pair: len(pair[1]), default=("", ""))
    return released + name[len(ours) :]


def read_release(path: str | os.PathLike) -> dict[str, Tensor]:
    """The released state dict, under the names of the release, without prefixes.

    Args:
        path: a .pth or .safetensors file that holds the state dict itself or has it under `state_dict`; names may begin
            with `scalemap.` or `module.scalemap.`, and then tensors of other modules are left out.

    Raises:
        InputError: the file is missing, truncated or holds something else than tensors.
        UnsafeCheckpointError: the file holds code.
    """
    state = state_of(load_checkpoint(path), path)
    # A .safetensors file cannot nest: there `state_dict.` begins the names.
    state = _below("state_dict.", state)
    return _below("scalemap.", {name.removeprefix("module."): value for name, value in state.items()})


def _below(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, without it; all of them where none does."""
    found = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    return found or state


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def release_sizes(state: dict[str, Tensor]) -> dict[str, int]:
    """Options of `RescaleNet` that a released state dict of `read_release` fits; `num_heads` leaves no trace in it.

    Raises:
        InputError: the tensors that tell are missing.
    """
    needed = ("projects.weight", "layer1_rn.weight", "output_conv_scale2.0.weight")
    missing = [name for name in needed if name not in state]
    if missing:
        raise InputError(f"these are not the released head's weights: {_some(missing)} missing")
    flat = [name for name in (*needed, "align_mlp.a_fc.weight") if name in state and state[name].ndim < 2]
    if flat:
        raise InputError(f"these are not the released head's weights: {_some(flat)} should be matrices")
    out_channels, image_channels = state["projects.weight"].shape[:2]
    align = state.get("align_mlp.a_fc.weight")
    return {
        "image_channels": image_channels,
        "text_channels": image_channels if align is None else align.shape[1],
        "out_channels": out_channels,
        "features": state["layer1_rn.weight"].shape[0],
        "head_channels": state["output_conv_scale2.0.weight"].shape[0],
    }


def load_release_weights(net: RescaleNet, path: str | os.PathLike, strict: bool = True) -> list[str]:
    """Loads the authors' released head into a `RescaleNet` of the same sizes.

    Args:
        net: the network, changed in place.
        path: see `read_release`.
        strict: whether tensors of the head that we have no place for are an error. Default: True.

    Returns:
        The names of tensors left over; with `strict` there are none.

    Raises:
        InputError: the file cannot be read, tensors are missing, left over or of another shape; the message names them.
        UnsafeCheckpointError: the file holds code.
    """
    released = read_release(path)
    ours = {_ours(name) or name: value for name, value in released.items()}
    net.load_state_dict(fit(net, ours, path, more=not strict, named=_theirs))
    own = net.state_dict()
    return sorted(name for name in released if (_ours(name) or name) not in own)
