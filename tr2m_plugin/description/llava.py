"""Sentences by LLaVA v1.6 (Liu et al., 2024), the captioner of the paper's appendix A.1, through transformers."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from tr2m_plugin.description.describers import Describer
from tr2m_plugin.description.prompts import PROMPTS
from tr2m_plugin.device import pick_device, precision
from tr2m_plugin.errors import InputError
from tr2m_plugin.models.frozen.encoders import load_pretrained
from tr2m_plugin.rows import DescriptionRow, IndexRow

CHAT = {
    "vicuna": "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, "
    "detailed, and polite answers to the human's questions. USER: <image>\n{prompt} ASSISTANT:",
    "mistral": "[INST] <image>\n{prompt} [/INST]",
}
"""How each family was taught to be asked. The tokenizer adds the token that begins a text."""

FAMILIES = {"llama": "vicuna", "mistral": "mistral"}
"""Family by transformers' type of the language model."""

NOTHING = "An image."


class Answer(NamedTuple):
    """A cleaned answer.

    Attributes:
        text: one line, never blank.
        flags: `cut` when the limit of tokens ended it, `blank` when there was no answer.
    """

    text: str
    flags: tuple[str, ...]


def clean_answer(answer: str, prompt: str, ended: bool = True) -> Answer:
    """An answer on one line, without an echo of the question.

    Args:
        answer: as decoded.
        prompt: the question.
        ended: whether the model ended it by itself; an answer that the limit ended is cut after its last full stop,
            where it has one.
    """
    text = " ".join(answer.split())
    echo = re.escape(" ".join(prompt.split()))
    text = re.sub(rf"^(?:.*?(?:ASSISTANT:|\[/INST\])|{echo})\s*", "", text).strip()
    flags = []
    if not ended:
        flags.append("cut")
        stop = text.rfind(".")
        text = text[: stop + 1] if stop > 0 else text
    if not re.search(r"\w", text):
        return Answer(NOTHING, (*flags, "blank"))
    return Answer(text, tuple(flags))


class LlavaDescriber(Describer):
    """Asks a LLaVA v1.6 about pictures, one row per picture and prompt.

    Args:
        model: hub id or folder: llava-hf/llava-v1.6-vicuna-7b-hf, llava-hf/llava-v1.6-mistral-7b-hf, or one like them.
            Default: the first.
        prompts: questions. Default: the paper's five.
        batch_size: picture and prompt pairs at a time. Default: 8.
        max_new_tokens: an answer's longest length. Default: 96.
        sample: whether answers are drawn rather than the likeliest. Draws depend on the pictures of a batch too.
            Default: False.
        temperature: what the scores of the next token are divided by before a draw. Default: 1.
        seed: number that the draws start from. Default: 0.
        dtype: precision of the weights. Default: bfloat16 on GPUs, float32 elsewhere.
        device: torch device. Default: auto.
        device_map: how to spread the weights over several GPUs, as accelerate has it, such as auto. Default: not.
        attn_implementation: transformers' name of the attention's kernel. Default: its choice.
        revision: branch, tag or commit of the hub repository. Default: its main branch.

    Raises:
        InputError: the weights are not there, or are no LLaVA v1.6 on Vicuna or Mistral.
    """

    def __init__(
        self,
        model: str = "llava-hf/llava-v1.6-vicuna-7b-hf",
        prompts: Sequence[str] = PROMPTS,
        batch_size: int = 8,
        max_new_tokens: int = 96,
        sample: bool = False,
        temperature: float = 1.0,
        seed: int = 0,
        dtype: str | None = None,
        device: str = "auto",
        device_map: str | None = None,
        attn_implementation: str | None = None,
        revision: str | None = None,
    ) -> None:
        if not prompts or not all(prompt.strip() for prompt in prompts):
            raise InputError("prompts must be one or more questions that are not blank")
        if min(batch_size, max_new_tokens) < 1:
            raise InputError(f"batch_size and max_new_tokens must be 1 or more, not {batch_size} and {max_new_tokens}")
        target = pick_device(device)
        chosen = precision(dtype or ("bfloat16" if target.startswith("cuda") else "float32"))
        config = load_pretrained("AutoConfig", model, revision=revision)
        language = getattr(getattr(config, "text_config", None), "model_type", None)
        if config.model_type != "llava_next" or language not in FAMILIES:
            raise InputError(
                f"{model!r} holds a {config.model_type} on {language}, not a LLaVA v1.6 on Vicuna or Mistral"
            )
        self.family = FAMILIES[language]
        self.model, self.prompts, self.batch_size = model, tuple(prompts), batch_size
        self.max_new_tokens, self.sample, self.temperature, self.seed = max_new_tokens, sample, temperature, seed
        self.revision = getattr(config, "_commit_hash", None) or revision
        self.processor = load_pretrained("AutoProcessor", model, revision=revision)
        tokenizer = self.processor.tokenizer
        tokenizer.padding_side = "left"
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        options = {"device_map": device_map} if device_map else {}
        if attn_implementation:
            options["attn_implementation"] = attn_implementation
        network = load_pretrained(
            "LlavaNextForConditionalGeneration", model, revision=revision, dtype=chosen, **options
        )
        self.network = (network if device_map else network.to(target)).eval().requires_grad_(False)

    def describe(self, rows: Sequence[IndexRow], images: Sequence[np.ndarray] = ()) -> list[DescriptionRow]:
        """Asks about pictures; see `Describer.describe`.

        Returns:
            All columns, of which `source` is llava-vicuna or llava-mistral, `variant` the number of the prompt, and
            `seed` null unless answers are drawn.
        """
        pairs = [(image, prompt) for image in images for prompt in self.prompts]
        answers = [answer for start in range(0, len(pairs), self.batch_size) for answer in self._answer(pairs, start)]
        questions = [(row, variant) for row in rows for variant in range(len(self.prompts))]
        return [
            DescriptionRow(
                dataset=row.dataset,
                sample_id=row.sample_id,
                source=f"llava-{self.family}",
                variant=variant,
                text=answer.text,
                model=self.model,
                revision=self.revision,
                prompt=self.prompts[variant],
                seed=self.seed if self.sample else None,
                flags=",".join(answer.flags) or None,
            )
            for (row, variant), answer in zip(questions, answers, strict=True)
        ]

    def _answer(self, pairs: Sequence[tuple[np.ndarray, str]], start: int) -> Iterator[Answer]:
        batch = pairs[start : start + self.batch_size]
        tokens = self.generate([image for image, _ in batch], [prompt for _, prompt in batch])
        tokenizer = self.processor.tokenizer
        for row, (_, prompt) in zip(tokens, batch, strict=True):
            ended = bool(torch.isin(row, self._ends()).any())
            yield clean_answer(tokenizer.decode(row, skip_special_tokens=True), prompt, ended)

    def _ends(self) -> torch.Tensor:
        ends = self.network.generation_config.eos_token_id
        ends = self.processor.tokenizer.eos_token_id if ends is None else ends
        return torch.tensor(ends if isinstance(ends, list) else [ends])

    @torch.inference_mode()
    def generate(self, images: Sequence[np.ndarray], prompts: Sequence[str]) -> torch.Tensor:
        """The new tokens for pairs of picture and prompt, (B, at most `max_new_tokens`), on the processor."""
        texts = [CHAT[self.family].format(prompt=prompt) for prompt in prompts]
        asked = {"padding": True, "return_tensors": "pt", "input_data_format": "channels_last"}
        inputs = self.processor(images=list(images), text=texts, **asked)
        inputs = inputs.to(self.network.device, self.network.dtype)
        options: dict[str, Any] = {"do_sample": False}
        if self.sample:
            options = {"do_sample": True, "temperature": self.temperature, "top_p": 1.0, "top_k": 0}
        draw = zlib.crc32(repr([self.seed, texts, [image.shape for image in images]]).encode())
        devices = [self.network.device] if self.network.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(draw)
            out = self.network.generate(
                **inputs,
                **options,
                max_new_tokens=self.max_new_tokens,
                pad_token_id=self.processor.tokenizer.pad_token_id,
            )
        return out[:, inputs["input_ids"].shape[1] :].cpu()
