"""Small LLaVA v1.6 models of both families with random weights, saved as a user would save them."""

import os

import torch
import transformers as hf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

SPECIAL = ["<unk>", "<s>", "</s>", "<pad>", "<image>"]
GRID = [[28, 56], [56, 28], [56, 56], [84, 28], [28, 84]]


def tokenizer() -> hf.PreTrainedTokenizerFast:
    """A tokenizer of bytes."""
    raw = Tokenizer(models.BPE(unk_token="<unk>"))
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator([], trainers.BpeTrainer(special_tokens=SPECIAL, initial_alphabet=alphabet))
    raw.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=raw,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens={"image_token": "<image>"},
        padding_side="left",
    )


def save_llava(folder: str | os.PathLike, family: str, width: int = 32, layers: int = 2) -> None:
    """Saves a model.

    Args:
        folder: to write.
        family: vicuna or mistral.
        width: width of the language model. Default: 32.
        layers: number of layers of the language model. Default: 2.
    """
    torch.manual_seed(0)
    sizes = {
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
    }
    words = tokenizer()
    ids = {"vocab_size": len(words), "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3}
    text = {
        "vicuna": lambda: hf.LlamaConfig(**sizes, **ids),
        "mistral": lambda: hf.MistralConfig(**sizes, **ids, num_key_value_heads=2, sliding_window=None),
    }[family]()
    vision = hf.CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
    )
    config = hf.LlavaNextConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=words.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=GRID,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
    )
    model = hf.LlavaNextForConditionalGeneration(config)
    # Random heads have favourites; larger weights make answers depend on the picture.
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(6)
    model.generation_config.eos_token_id = 2
    model.save_pretrained(folder)
    pictures = hf.LlavaNextImageProcessor(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}, image_grid_pinpoints=GRID
    )
    hf.LlavaNextProcessor(
        pictures,
        words,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template="{{ messages }}",
    ).save_pretrained(folder)
