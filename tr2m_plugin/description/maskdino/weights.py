"""The authors' MaskDINO checkpoints: their names, and the sizes that their shapes tell."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tr2m_plugin.description.maskdino.attention import POINTS
from tr2m_plugin.description.maskdino.network import BoxInit, MaskDino, Sizes
from tr2m_plugin.errors import InputError, require
from tr2m_plugin.state_dicts import Rules, fit, read_weights, rename_tensors
from tr2m_plugin.trusted import parameters_within

UNUSED = re.compile(
    r"^criterion\.|relative_position_index$|(^|\.)bbox_embed\.\d|\.decoder\.norm\.|\.label_enc\.|num_batches_tracked$"
    r"|^(module\.)?pixel_(mean|std)$"
)
"""Copies of other tensors, and what only training needs."""

HEAD_RULES: Rules = [
    (r"^sem_seg_head\.", ""),
    (r"^pixel_decoder\.transformer\.encoder\.", "pixel_decoder."),
    (r"^pixel_decoder\.transformer\.", "pixel_decoder."),
    (r"^pixel_decoder\.adapter_1\.norm\.", "pixel_decoder.lateral.1."),
    (r"^pixel_decoder\.adapter_1\.", "pixel_decoder.lateral.0."),
    (r"^pixel_decoder\.layer_1\.norm\.", "pixel_decoder.smooth.1."),
    (r"^pixel_decoder\.layer_1\.", "pixel_decoder.smooth.0."),
    (r"^predictor\.decoder\.", "predictor."),
    (r"^predictor\._bbox_embed\.", "predictor.box_embed."),
]
RESNET_RULES: Rules = [
    (r"^backbone\.stem\.conv1\.norm\.", "backbone.embedder.embedder.normalization."),
    (r"^backbone\.stem\.conv1\.", "backbone.embedder.embedder.convolution."),
    (r"^backbone\.res(\d)\.(\d+)\.", lambda m: f"backbone.encoder.stages.{int(m[1]) - 2}.layers.{m[2]}."),
    (r"\.conv(\d)\.", lambda m: f".layer.{int(m[1]) - 1}."),
    (r"(\.layer\.\d|\.shortcut)\.norm\.", r"\1.normalization."),
    (r"(\.layer\.\d|\.shortcut)\.weight$", r"\1.convolution.weight"),
]
"""From the authors' names to ours; transformers' names for the encoder."""


def convert_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' state dict under our names, without what inference does not use."""
    return rename_tensors(state, UNUSED, _rules)


def _rules(name: str) -> Rules | None:
    if not name.startswith("backbone."):
        return HEAD_RULES
    return RESNET_RULES if name.startswith(("backbone.stem.", "backbone.res")) else None


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    """How many different numbers stand at the pattern's group."""
    return len({match[1] for name in state if (match := re.search(pattern, name))})


def infer_sizes(state: Mapping[str, Tensor], encoder_channels: tuple[int, ...]) -> Sizes:
    """Sizes of the network whose converted state dict this is."""

    def shape(name: str) -> torch.Size:
        if name not in state:
            raise KeyError(name)
        return state[name].shape

    projections = _count(state, r"^pixel_decoder\.input_proj\.(\d+)\.")
    features = sum(shape(f"pixel_decoder.input_proj.{i}.0.weight")[2] == 1 for i in range(projections))
    levels, channels = shape("pixel_decoder.level_embed")
    inputs = [shape(f"pixel_decoder.input_proj.{i}.0.weight")[1] for i in range(features)]
    return Sizes(
        encoder_channels=encoder_channels,
        features=features,
        levels=levels,
        fine_first=inputs == sorted(inputs),
        channels=channels,
        classes=shape("predictor.class_embed.weight")[0],
        mask_channels=shape("pixel_decoder.mask_features.weight")[0],
        heads=shape("predictor.layers.0.cross_attn.attention_weights.weight")[0] // (levels * POINTS),
        encoder_layers=_count(state, r"^pixel_decoder\.layers\.(\d+)\."),
        decoder_layers=_count(state, r"^predictor\.layers\.(\d+)\."),
        encoder_ffn=shape("pixel_decoder.layers.0.linear1.weight")[0],
        decoder_ffn=shape("predictor.layers.0.linear1.weight")[0],
    )


def _resnet(state: Mapping[str, Tensor]) -> tuple[nn.Module, tuple[int, ...]]:
    transformers = require("transformers", "to build encoders", "data")
    stages = range(_count(state, r"^backbone\.encoder\.stages\.(\d+)\."))
    last = [state[f"backbone.encoder.stages.{i}.layers.0.layer.2.convolution.weight"].shape[0] for i in stages]
    config = transformers.ResNetConfig(
        embedding_size=state["backbone.embedder.embedder.convolution.weight"].shape[0],
        hidden_sizes=last,
        depths=[_count(state, rf"^backbone\.encoder\.stages\.{i}\.layers\.(\d+)\.") for i in stages],
        layer_type="bottleneck",
        downsample_in_bottleneck=False,
        out_features=[f"stage{i + 1}" for i in stages],
    )
    return transformers.ResNetBackbone(config), tuple(last)


def _swin(state: Mapping[str, Tensor]) -> tuple[nn.Module, tuple[int, ...]]:
    transformers = require("transformers", "to build encoders", "data")
    layers = "backbone.swin.encoder.layers"
    stages = range(_count(state, r"^backbone\.swin\.encoder\.layers\.(\d+)\."))
    bias = "attention.relative_position_bias.relative_position_bias_table"
    tables = [state[f"{layers}.{i}.blocks.0.{bias}"].shape for i in stages]
    width = state["backbone.swin.embeddings.patch_embeddings.projection.weight"].shape[0]
    config = transformers.SwinConfig(
        embed_dim=width,
        depths=[_count(state, rf"^backbone\.swin\.encoder\.layers\.{i}\.blocks\.(\d+)\.") for i in stages],
        num_heads=[heads for _, heads in tables],
        window_size=(round(tables[0][0] ** 0.5) + 1) // 2,
        patch_size=state["backbone.swin.embeddings.patch_embeddings.projection.weight"].shape[-1],
        out_features=[f"stage{i + 1}" for i in stages],
    )
    encoder = transformers.SwinBackbone(config)
    encoder.swin.layernorm = nn.Identity()
    return encoder, tuple(width * 2**i for i in stages)


def load_maskdino(
    source: Mapping[str, Tensor] | str | os.PathLike, num_queries: int = 300, box_init: BoxInit = "no"
) -> MaskDino:
    """The network of a published checkpoint; every size is inferred from the shapes in it.

    Args:
        source: the authors' state dict, or their file, which holds one under `model`.
        num_queries: which the weights do not tell. Default: 300.
        box_init: which they do not tell either: no for the panoptic models, mask2box or bitmask for most instance
            models. Default: no.

    Raises:
        InputError: the file cannot be read, or tensors are missing, left over or of another shape.
        UnsafeCheckpointError: the file holds code.
    """
    where, content = read_weights(source)
    held = 2 * sum(tensor.untyped_storage().nbytes() for tensor in content.values())
    try:
        with parameters_within(held, f"{where} claims a larger network than it holds"):
            state = convert_names(content)
            resnet = "backbone.embedder.embedder.convolution.weight" in state
            encoder, channels = _resnet(state) if resnet else _swin(state)
            model = MaskDino(encoder, infer_sizes(state, channels), num_queries, box_init)
    except KeyError as error:
        raise InputError(f"{where} is no MaskDINO checkpoint on ResNet or Swin: it lacks {error.args[0]}") from error
    except InputError:
        raise
    except (IndexError, ArithmeticError, AssertionError, RuntimeError, ValueError, TypeError) as error:
        raise InputError(f"{where} is no MaskDINO checkpoint: its shapes make no network ({error})") from error
    fitting = fit(model, state, where, spare=lambda name: name.endswith("num_batches_tracked"))
    model.load_state_dict(fitting, strict=False)
    return model
