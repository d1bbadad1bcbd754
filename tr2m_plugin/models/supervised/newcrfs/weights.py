"""The authors' NeWCRFs weights: their names, and ours (aliyun/NeWCRFs, MIT)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from torch import Tensor, nn

from tr2m_plugin.state_dicts import Rules, fit, read_weights, rename_tensors

UNUSED = re.compile(r"relative_position_index$")
"""Copies of other tensors."""

DECODER_RULES: Rules = [
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


def convert_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' state dict under our names: the encoder's query, key and value apart, index buffers left out."""
    return rename_tensors(state, UNUSED, lambda name: None if name.startswith("backbone.") else DECODER_RULES)


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
    name, content = read_weights(source)
    model.load_state_dict(fit(model, convert_names(content), name))
