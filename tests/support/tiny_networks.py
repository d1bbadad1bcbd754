"""Tiny networks of transformers' classes with random weights, saved as a user would save them."""

from __future__ import annotations

import pytest
import torch
import transformers as hf
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import (
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    Dinov2Model,
    DPTImageProcessor,
    PreTrainedTokenizerFast,
)

STAGES = ["stage1", "stage2", "stage3", "stage4"]
NECK = {"neck_hidden_sizes": [8, 16, 16, 16], "fusion_hidden_size": 8}
VIT = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 64, "image_size": 64}


def dpt():
    return hf.DPTForDepthEstimation(
        hf.DPTConfig(**VIT, **NECK, patch_size=16, backbone_out_indices=[0, 1, 2, 3], is_hybrid=False)
    )


def dpt_hybrid():
    backbone = hf.BitConfig(
        embedding_size=8,
        hidden_sizes=[16, 32, 64],
        depths=[2] * 3,
        global_padding="same",
        embedding_dynamic_padding=True,
        num_groups=2,
        out_features=STAGES[:3],
        layer_type="bottleneck",
    )
    return hf.DPTForDepthEstimation(
        hf.DPTConfig(
            **VIT,
            is_hybrid=True,
            backbone_config=backbone,
            patch_size=16,
            backbone_featmap_shape=[1, 64, 4, 4],
            backbone_out_indices=[0, 1, 2, 3],
            neck_ignore_stages=[0, 1],
            readout_type="project",
            reassemble_factors=[1, 1, 1, 0.5],
            neck_hidden_sizes=[16, 32, 16, 16],
            fusion_hidden_size=16,
        )
    )


def midas():
    backbone = hf.Swinv2Config(
        image_size=64, embed_dim=16, depths=[1] * 4, num_heads=[2, 4, 8, 16], window_size=4, out_features=STAGES
    )
    return hf.DPTForDepthEstimation(
        hf.DPTConfig(backbone_config=backbone, neck_hidden_sizes=[16, 32, 64, 128], fusion_hidden_size=16)
    )


def glpn():
    return hf.GLPNForDepthEstimation(
        hf.GLPNConfig(
            depths=[1] * 4, hidden_sizes=[8, 16, 32, 64], num_attention_heads=[1, 2, 4, 8], decoder_hidden_size=16
        )
    )


def zoedepth():
    backbone = hf.BeitConfig(
        **VIT, patch_size=16, out_features=STAGES, reshape_hidden_states=False, use_relative_position_bias=True
    )
    return hf.ZoeDepthForDepthEstimation(
        hf.ZoeDepthConfig(
            backbone_config=backbone,
            **NECK,
            bottleneck_features=8,
            num_relative_features=8,
            bin_embedding_dim=8,
            num_attractors=[4, 2, 2, 1],
            bin_configurations=[{"n_bins": 8, "min_depth": 1e-3, "max_depth": 10.0, "name": "nyu"}],
        )
    )


def dinov2_config(**options):
    sizes = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "image_size": 70, "patch_size": 14}
    return Dinov2Config(**sizes, **options)


@pytest.fixture(scope="session")
def dinov2(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("dinov2")
    Dinov2Model(dinov2_config()).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def depth_anything(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("depth_anything")
    backbone = dinov2_config(out_indices=[1, 2, 3, 4], apply_layernorm=True, reshape_hidden_states=False)
    config = DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=32,
        neck_hidden_sizes=[8, 16, 16, 16],
        fusion_hidden_size=8,
        head_hidden_size=4,
        patch_size=14,
    )
    model = DepthAnythingForDepthEstimation(config)
    torch.nn.init.constant_(model.head.conv3.bias, 0.5)
    model.save_pretrained(folder)
    DPTImageProcessor(size={"height": 70, "width": 70}, keep_aspect_ratio=True, ensure_multiple_of=14).save_pretrained(
        folder
    )
    return folder


@pytest.fixture(scope="session")
def clip_text(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("clip_text")
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    special = ["<pad>", "<unk>", "<start>", "<end>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator([], trainers.BpeTrainer(special_tokens=special, initial_alphabet=alphabet))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 2), ("<end>", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", bos_token="<start>", eos_token="<end>"
    ).save_pretrained(folder)
    config = CLIPTextConfig(
        vocab_size=len(tokenizer.get_vocab()),
        hidden_size=16,
        intermediate_size=32,
        projection_dim=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=32,
        bos_token_id=2,
        eos_token_id=3,
        pad_token_id=0,
    )
    CLIPTextModelWithProjection(config).save_pretrained(folder)
    return folder
