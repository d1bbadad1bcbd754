"""Sentences by LLaVA v1.6 (Liu et al., 2024), the captioner of the paper's appendix A.1, through transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tr2m_plugin.description.captioner import TransformersCaptioner
from tr2m_plugin.description.prompts import PROMPTS
from tr2m_plugin.errors import InputError

CHAT = {
    "vicuna": "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, "
    "detailed, and polite answers to the human's questions. USER: <image>\n{prompt} ASSISTANT:",
    "mistral": "[INST] <image>\n{prompt} [/INST]",
}
"""How each family was taught to be asked. The tokenizer adds the token that begins a text."""

FAMILIES = {"llama": "vicuna", "mistral": "mistral"}
"""Family by transformers' type of the language model."""


class LlavaDescriber(TransformersCaptioner):
    """Asks a LLaVA v1.6 about pictures, in its family's own words; its rows' source is llava-vicuna or llava-mistral.

    Args:
        model: hub id or folder: llava-hf/llava-v1.6-vicuna-7b-hf, llava-hf/llava-v1.6-mistral-7b-hf, or one like them.
            Default: the first.
        prompts: questions. Default: the paper's five.
        **kwargs: options of `TransformersCaptioner`.

    Raises:
        InputError: the weights are not there, or are no LLaVA v1.6 on Vicuna or Mistral.
    """

    def __init__(
        self, model: str = "llava-hf/llava-v1.6-vicuna-7b-hf", prompts: Sequence[str] = PROMPTS, **kwargs: Any
    ) -> None:
        super().__init__(model, prompts, **kwargs)
        self.chat = True

    def _source(self, config: Any, model: str) -> str:
        language = getattr(getattr(config, "text_config", None), "model_type", None)
        if config.model_type != "llava_next" or language not in FAMILIES:
            raise InputError(
                f"{model!r} holds a {config.model_type} on {language}, not a LLaVA v1.6 on Vicuna or Mistral"
            )
        self.family = FAMILIES[language]
        return f"llava-{self.family}"

    def _chat(self, prompt: str) -> str:
        return CHAT[self.family].format(prompt=prompt)
