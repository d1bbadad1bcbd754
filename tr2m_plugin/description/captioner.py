"""Sentences by any image-text-to-text model of transformers: BLIP, Florence-2, SmolVLM, Qwen2-VL and others."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from tr2m_plugin.description.answers import Answer, answer_row, check_prompts, clean_answer
from tr2m_plugin.description.describers import Describer
from tr2m_plugin.description.prompts import PROMPTS
from tr2m_plugin.device import pick_device, precision
from tr2m_plugin.errors import InputError, require
from tr2m_plugin.models.frozen.encoders import load_pretrained
from tr2m_plugin.rows import DescriptionRow, IndexRow

TASKS: dict[str, tuple[str, ...]] = {"florence2": ("<CAPTION>", "<DETAILED_CAPTION>", "<MORE_DETAILED_CAPTION>")}
"""What models without a chat template were taught to be asked, by their type; others are given the picture alone."""

Question = tuple[int, int]
"""Numbers of a picture and of a prompt."""


class TransformersCaptioner(Describer):
    """Asks a model about pictures, one row per picture and prompt.

    Args:
        model: hub id or folder of what `AutoModelForImageTextToText` loads.
        prompts: questions, asked by the chat template where the processor has one. Without one, what the answer goes
            on from (BLIP: "a photo of") or a task's name (Florence-2: "<CAPTION>"). Default: the paper's five with a
            chat template, `TASKS` without.
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
        InputError: the weights are not there, or are of no such model.
    """

    def __init__(
        self,
        model: str,
        prompts: Sequence[str] | None = None,
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
        asked = None if prompts is None else check_prompts(prompts)
        if min(batch_size, max_new_tokens) < 1:
            raise InputError(f"batch_size and max_new_tokens must be 1 or more, not {batch_size} and {max_new_tokens}")
        target = pick_device(device)
        chosen = precision(dtype or ("bfloat16" if target.startswith("cuda") else "float32"))
        config = load_pretrained("AutoConfig", model, revision=revision)
        self.source = self._source(config, model)
        self.model, self.batch_size = model, batch_size
        self.max_new_tokens, self.sample, self.temperature, self.seed = max_new_tokens, sample, temperature, seed
        self.revision = getattr(config, "_commit_hash", None) or revision
        options = {"device_map": device_map} if device_map else {}
        if attn_implementation:
            options["attn_implementation"] = attn_implementation
        network = load_pretrained("AutoModelForImageTextToText", model, revision=revision, dtype=chosen, **options)
        self.network = (network if device_map else network.to(target)).eval().requires_grad_(False)
        self.processor = load_pretrained("AutoProcessor", model, revision=revision)
        self.chat = bool(getattr(self.processor, "chat_template", None))
        usual = PROMPTS if self.chat else TASKS.get(config.model_type, ("",))
        self.prompts = usual if asked is None else asked
        tokenizer = self.processor.tokenizer
        tokenizer.padding_side = "left"
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        generation = self.network.generation_config
        generation.forced_eos_token_id = None  # would hide that the limit cut an answer
        if generation.pad_token_id is None:
            generation.pad_token_id = tokenizer.pad_token_id

    def _source(self, config: Any, model: str) -> str:
        """What the table calls it; raises an InputError where it is no such model."""
        return config.model_type

    def describe(self, rows: Sequence[IndexRow], images: Sequence[np.ndarray] = ()) -> list[DescriptionRow]:
        """Asks about pictures; see `Describer.describe`.

        Returns:
            All columns, of which `source` is the model's type, `variant` the number of the prompt, and `seed` null
            unless answers are drawn.
        """
        pictures = [row for row, _ in zip(rows, images, strict=True)]
        questions = [(number, variant) for number in range(len(pictures)) for variant in range(len(self.prompts))]
        answers: dict[Question, Answer] = {}
        for batch in self._batches(questions):
            asked = [self.prompts[variant] for _, variant in batch]
            tokens = self.generate([images[number] for number, _ in batch], asked)
            answers.update(zip(batch, map(self._answer, tokens, asked), strict=True))
        drawn = self.seed if self.sample else None
        return [
            answer_row(
                pictures[number],
                variant,
                answers[number, variant],
                self.source,
                self.model,
                self.prompts[variant],
                self.revision,
                drawn,
            )
            for number, variant in questions
        ]

    def _batches(self, questions: Sequence[Question]) -> Iterator[Sequence[Question]]:
        """Batches; without a chat template of one prompt each, since BLIP bears no padding before a prompt."""
        variants = range(len(self.prompts))
        groups = [questions] if self.chat else [[one for one in questions if one[1] == v] for v in variants]
        for group in groups:
            yield from (group[start : start + self.batch_size] for start in range(0, len(group), self.batch_size))

    def _answer(self, tokens: torch.Tensor, prompt: str) -> Answer:
        tokenizer = self.processor.tokenizer
        ends = self.network.generation_config.eos_token_id
        known = {*tokenizer.all_special_ids, *(ends if isinstance(ends, list) else [ends])}
        ended = not len(tokens) or int(tokens[-1]) in known  # what ended before others of its batch is padded
        return clean_answer(tokenizer.decode(tokens, skip_special_tokens=True), prompt if self.chat else "", ended)

    @torch.inference_mode()
    def generate(self, images: Sequence[np.ndarray], prompts: Sequence[str]) -> torch.Tensor:
        """The new tokens for pairs of picture and prompt, (B, at most `max_new_tokens`), on the processor."""
        device, dtype = self.network.device, self.network.dtype
        inputs = {
            name: value.to(device, dtype if value.is_floating_point() else None)
            for name, value in self._inputs(images, prompts).items()
            if isinstance(value, torch.Tensor)
        }
        options: dict[str, Any] = {"do_sample": False}
        if self.sample:
            options = {"do_sample": True, "temperature": self.temperature, "top_p": 1.0, "top_k": 0}
        draw = zlib.crc32(repr([self.seed, list(prompts), [image.shape for image in images]]).encode())
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(draw)
            out = self.network.generate(**inputs, **options, max_new_tokens=self.max_new_tokens)
        asked = inputs.get("input_ids")
        if asked is not None and torch.equal(out[:, : asked.shape[1]], asked):  # decoders repeat what they were given
            out = out[:, asked.shape[1] :]
        return out.cpu()

    def _inputs(self, images: Sequence[np.ndarray], prompts: Sequence[str]) -> Any:
        """What the network takes, by name."""
        pillow = require("PIL.Image", "to give pictures to transformers", "data")
        pictures = [pillow.fromarray(image) for image in images]
        if not self.chat:
            texts = {"text": list(prompts), "padding": True} if prompts[0] else {}
            return self.processor(images=pictures, return_tensors="pt", **texts)
        asked = [self._chat(prompt) for prompt in prompts]
        begins = getattr(self.processor.tokenizer, "bos_token", None)
        plain = {"add_special_tokens": False} if begins and asked[0].startswith(begins) else {}
        return self.processor(
            images=[[picture] for picture in pictures], text=asked, padding=True, return_tensors="pt", **plain
        )

    def _chat(self, prompt: str) -> str:
        content = [{"type": "image"}, {"type": "text", "text": prompt}]
        return self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
