"""Weights under the names of the authors' MaskDINO."""

import json
import re
import zlib

import numpy as np
import torch


def seeded(name, shape):
    """Weights as a function of the authors' name of the parameter."""
    x = np.random.RandomState(zlib.crc32(name.encode()) & 0xFFFFFFFF).standard_normal(size=shape)
    leaf, parent = name.rsplit(".", 1)[-1], name.split(".")[-2]
    is_norm = "norm" in name or (".input_proj." in name and parent == "1")
    if leaf == "running_var":
        return 0.5 + 0.5 * np.abs(x)
    if is_norm and leaf == "weight":
        return 1 + 0.1 * x
    if leaf == "bias":
        return (2.0 if "sampling_offsets" in name else 0.1) * x
    if "level_embed" in name or "label_enc" in name:
        return x
    if len(shape) < 2 or "relative_position_bias_table" in name:
        return 0.1 * x
    scale = 1 / np.sqrt(int(np.prod(shape[1:])))
    for part, factor in (("bbox_embed", 0.7), ("class_embed", 1.5), ("backbone", 1.2)):
        scale *= factor if part in name else 1
    return scale * x


def original(data, kind):
    """A state dict with the names and shapes of the authors' network; some tensors are copies of others."""
    state = {}
    for name, shape in json.loads((data / "maskdino" / f"tiny_{kind}_panoptic_keys.json").read_text()).items():
        if name.endswith("relative_position_index"):
            state[name] = torch.zeros(shape, dtype=torch.int64)
            continue
        source = re.sub(r"(decoder\.)?(?<!_)bbox_embed\.\d+", "_bbox_embed", name)
        source = source.replace(".decoder.norm.", ".decoder_norm.")
        state[name] = torch.from_numpy(np.asarray(seeded(source, shape))).float()
    return state
