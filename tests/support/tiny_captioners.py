"""Small captioners of several families with random weights, saved as a user would save them."""

import torch
import transformers as hf
from tokenizers import processors

from benchmarks.tiny_llava import tokenizer

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'] }}: {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{image}{% else %}{{ part['text'] }}{% endif %}{% endfor %}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
"""How chat templates are written; {image} stands for the model's own sign."""


def words(*more):
    """The tokenizer of bytes, with a family's signs."""
    made = tokenizer()
    made.add_special_tokens({"additional_special_tokens": list(more)})
    return made


def speak(model, folder, factor=6):
    """Saves a model whose answers depend on the picture, which random heads' favourites hide otherwise."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(factor)
    model.save_pretrained(folder)


def save_blip(folder):
    """BLIP: no chat template; its tokenizer ends what it is given."""
    made = words()
    ends = [("<s>", 1), ("</s>", 2)]
    made.backend_tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    ids = {"vocab_size": len(made), "bos_token_id": 1, "eos_token_id": 2, "sep_token_id": 2, "pad_token_id": 3}
    text = hf.BlipTextConfig(**sizes, **ids, encoder_hidden_size=32, projection_dim=32, max_position_embeddings=128)
    vision = hf.BlipVisionConfig(**sizes, image_size=32, patch_size=16, projection_dim=32, initializer_range=0.02)
    config = hf.BlipConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=32)
    speak(hf.BlipForConditionalGeneration(config), folder)
    hf.BlipProcessor(hf.BlipImageProcessor(size={"height": 32, "width": 32}), made).save_pretrained(folder)


def save_florence(folder):
    """Florence-2: an encoder and a decoder, asked by the names of tasks."""
    made = words()
    text = hf.BartConfig(
        vocab_size=len(made),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_position_embeddings=256,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=3,
        decoder_start_token_id=2,
        forced_bos_token_id=1,
        forced_eos_token_id=2,
    )
    vision = {
        "depths": [1, 1],
        "patch_size": [7, 3],
        "patch_stride": [4, 2],
        "patch_padding": [3, 1],
        "patch_prenorm": [False, True],
        "embed_dim": [16, 32],
        "num_heads": [2, 4],
        "num_groups": [2, 4],
        "window_size": 4,
        "projection_dim": 32,
    }
    image = made.convert_tokens_to_ids("<image>")
    config = hf.Florence2Config(text_config=text.to_dict(), vision_config=vision, image_token_id=image)
    speak(hf.Florence2ForConditionalGeneration(config), folder, factor=20)
    pictures = hf.CLIPImageProcessor(
        size={"height": 32, "width": 32}, crop_size={"height": 32, "width": 32}, do_center_crop=False
    )
    pictures.image_seq_length = 17  # 4 × 4 cells of 8 pixels, and their mean
    hf.Florence2Processor(pictures, made).save_pretrained(folder)


def save_smolvlm(folder):
    """Idefics3, as SmolVLM is: a chat template, and tiles of large pictures."""
    made = words("<fake_token_around_image>", "<end_of_utterance>", "<global-img>")
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    ids = {"vocab_size": len(made), "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3}
    config = hf.Idefics3Config(
        text_config=hf.LlamaConfig(**sizes, **ids).to_dict(),
        vision_config=hf.models.idefics3.Idefics3VisionConfig(**sizes, image_size=32, patch_size=8).to_dict(),
        image_token_id=made.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=3,
    )
    model = hf.Idefics3ForConditionalGeneration(config)
    model.generation_config.eos_token_id = 2
    speak(model, folder)
    pictures = hf.Idefics3ImageProcessor(size={"longest_edge": 32}, max_image_size={"longest_edge": 32})
    hf.Idefics3Processor(
        pictures, made, image_seq_len=4, chat_template=TEMPLATE.replace("{image}", "<image>")
    ).save_pretrained(folder)


def save_captioner(family, folder):
    """Saves a model of a family of `FAMILIES`."""
    torch.manual_seed(0)
    FAMILIES[family](folder)


FAMILIES = {"blip": save_blip, "florence2": save_florence, "idefics3": save_smolvlm}
"""What saves a model, by transformers' name of its family."""
