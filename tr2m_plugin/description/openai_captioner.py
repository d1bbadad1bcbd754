"""Sentences by any server that speaks OpenAI's chat completions API: vLLM, SGLang, Ollama, a cloud."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from tr2m_plugin.description.answers import answer_row, check_prompts, clean_answer
from tr2m_plugin.description.chat_server import ChatServer
from tr2m_plugin.description.describers import Describer
from tr2m_plugin.description.kept_answers import KeptAnswers
from tr2m_plugin.description.prompts import PROMPTS
from tr2m_plugin.errors import InputError, ServiceError, require
from tr2m_plugin.rows import DescriptionRow, IndexRow


class OpenAICaptioner(Describer):
    """Asks a server about pictures, many questions at a time, one row per picture and prompt.

    The key is the environment's OPENAI_API_KEY; a server that wants none needs none. A question without an answer
    (statuses 408, 409, 425, 429 and from 500 on, no whole answer in time, a lost connection, an answer that is no
    chat completion) is asked again, after a pause that doubles and varies, and no sooner than a Retry-After says.

    Args:
        model: its name on the server.
        base_url: the server's address, such as http://localhost:8000/v1. Default: the environment's OPENAI_BASE_URL,
            and OpenAI's cloud where there is none.
        prompts: questions. Default: the paper's five.
        in_flight: questions on their way at a time. Default: 8.
        max_tokens: an answer's longest length. Default: 96.
        limit_name: what the server calls that limit; OpenAI's newer models know `max_completion_tokens` only.
            Default: max_tokens.
        temperature: how freely answers are drawn; null: the server's own. Default: 0, the likeliest.
        seed: number that draws start from, where the server takes one. Default: none is sent.
        max_side: pixels to which the longer side of a picture is brought, where it has more. Default: 1024.
        tries: how often a question is asked that gets no answer. Default: 6.
        timeout: seconds in which an answer is whole. Default: 120.
        longest_wait: seconds that a Retry-After may ask for; of more the picture fails. Default: 300.
        most_in_a_row: when so many pictures fail one after another, all is ended. Default: 20.
        keep: folder below the root in which answers are kept as they come, and looked for before asking. Default:
            none.
        root: see `Registered`.

    Raises:
        InputError: an option is out of its range, or the address is none.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        prompts: Sequence[str] = PROMPTS,
        in_flight: int = 8,
        max_tokens: int = 96,
        limit_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens",
        temperature: float | None = 0.0,
        seed: int | None = None,
        max_side: int = 1024,
        tries: int = 6,
        timeout: float = 120.0,
        longest_wait: float = 300.0,
        most_in_a_row: int = 20,
        keep: str | None = None,
        root: str = ".",
    ) -> None:
        above = {"in_flight": in_flight, "max_tokens": max_tokens, "max_side": max_side, "tries": tries}
        for name, value in {**above, "timeout": timeout, "most_in_a_row": most_in_a_row}.items():
            if value <= 0:
                raise InputError(f"{name} must be above 0, not {value}")
        self.model, self.prompts, self.seed = model, check_prompts(prompts), seed
        self.in_flight, self.max_side, self.most_in_a_row = in_flight, max_side, most_in_a_row
        self.at_once = 4 * in_flight
        asked = {"model": model, limit_name: max_tokens, "temperature": temperature, "seed": seed}
        self._asked = {name: value for name, value in asked.items() if value is not None}
        self.server = ChatServer(base_url, tries, timeout, longest_wait)
        self.kept = KeptAnswers(Path(root, keep).expanduser() if keep else None)
        self._in_a_row = 0

    def describe(self, rows: Sequence[IndexRow], images: Sequence[np.ndarray] = ()) -> list[DescriptionRow]:
        """Asks about pictures; see `Describer.describe`.

        Returns:
            All columns, of which `source` is openai, `variant` the number of the prompt, and `revision` the model's
            name in the server's answer, where that is another.
        """
        lines: list[DescriptionRow] = []
        for found in self.each(rows, images):
            if isinstance(found, InputError):
                raise found
            lines += found
        return lines

    def each(
        self, rows: Sequence[IndexRow], images: Sequence[np.ndarray] = ()
    ) -> Sequence[list[DescriptionRow] | InputError]:
        """Each picture's rows, or why it has none.

        Raises:
            ServiceError: the server refuses the key, knows no such model, there is no credit, or `most_in_a_row`
                pictures failed one after another.
        """
        threads = require("anyio.from_thread", "to ask a server", "data")
        questions = _Questions(self, rows, images)
        with threads.start_blocking_portal() as portal:  # also where an event loop runs already, as in a notebook
            portal.call(questions.ask)
        if questions.ended:
            raise questions.ended
        return questions.found()

    def body(self, prompt: str, url: str) -> bytes:
        """A question as the server takes it.

        Args:
            prompt: the question.
            url: of the picture, which holds it.
        """
        content = [{"type": "text", "text": prompt}, {"type": "image_url", "image_url": {"url": url}}]
        return json.dumps({**self._asked, "messages": [{"role": "user", "content": content}]}).encode()

    async def answer(self, client: Any, row: IndexRow, variant: int, body: bytes) -> DescriptionRow:
        """The answer to a question, as a row; see `ChatServer.ask` for what it raises."""
        reply = self.kept.find(body)
        if reply is None:
            reply = await self.server.ask(client, body)
            self.kept.add(body, reply)
        prompt = self.prompts[variant]
        answer = clean_answer(reply.text, prompt, reply.ended)
        revision = None if reply.model == self.model else reply.model
        return answer_row(row, variant, answer, "openai", self.model, prompt, revision, self.seed)

    def count(self, failed: bool) -> int:
        """How many pictures have failed one after another, with this one."""
        self._in_a_row = self._in_a_row + 1 if failed else 0
        return self._in_a_row


class _Questions:
    """All questions about some pictures, on their way together.

    Args:
        captioner: whose they are.
        rows: of the pictures.
        images: the pictures.

    Attributes:
        ended: what ended all; None where nothing did.
    """

    def __init__(self, captioner: OpenAICaptioner, rows: Sequence[IndexRow], images: Sequence[np.ndarray]) -> None:
        self.captioner = captioner
        self.pictures = list(zip(rows, images, strict=True))
        self.lines: list[dict[int, DescriptionRow]] = [{} for _ in self.pictures]
        self.failed: dict[int, InputError] = {}
        self.ended: Exception | None = None
        self._anyio = require("anyio", "to ask a server", "data")

    def found(self) -> list[list[DescriptionRow] | InputError]:
        """Each picture's rows, or why it has none."""
        return [self.failed.get(n) or [lines[v] for v in sorted(lines)] for n, lines in enumerate(self.lines)]

    async def ask(self) -> None:
        """Asks them all."""
        count = self.captioner.in_flight
        send, receive = self._anyio.create_memory_object_stream(count)
        client = self.captioner.server.client(count)
        async with client, receive, self._anyio.create_task_group() as tasks:
            for _ in range(count):
                tasks.start_soon(self._work, client, receive, tasks)
            async with send:
                await self._prepare(send)

    async def _prepare(self, send: Any) -> None:
        """Encodes pictures ahead of the questions that are on their way."""
        for number, (_, image) in enumerate(self.pictures):
            try:
                url = await self._anyio.to_thread.run_sync(data_url, image, self.captioner.max_side)
            except (InputError, cv2.error) as error:
                self._fail(number, error)
                continue
            for variant, prompt in enumerate(self.captioner.prompts):
                await send.send((number, variant, self.captioner.body(prompt, url)))

    async def _work(self, client: Any, receive: Any, tasks: Any) -> None:
        """Asks one question after another."""
        async for number, variant, body in receive:
            if number in self.failed:
                continue
            try:
                row, _ = self.pictures[number]
                self.lines[number][variant] = await self.captioner.answer(client, row, variant, body)
                self.captioner.count(failed=False)
            except InputError as error:
                self._fail(number, error)
            except Exception as error:  # of the server, or a full disk: no picture's
                self.ended = self.ended or error
            if self.ended:
                tasks.cancel_scope.cancel()

    def _fail(self, number: int, error: Exception) -> None:
        if number in self.failed:
            return
        self.failed[number] = InputError(f"{self.pictures[number][0].key}: {error}")
        most = self.captioner.most_in_a_row
        if self.captioner.count(failed=True) >= most:
            self.ended = self.ended or ServiceError(f"{most} pictures failed one after another, at last {error}")


def data_url(image: np.ndarray, max_side: int) -> str:
    """A picture as an address that holds it, in JPEG.

    Args:
        image: (H, W, 3) uint8 RGB.
        max_side: see `OpenAICaptioner`.
    """
    height, width = image.shape[:2]
    scale = max_side / max(height, width)
    if scale < 1:
        size = max(round(width * scale), 1), max(round(height * scale), 1)
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    jpeg = cv2.imencode(".jpg", image[..., ::-1])[1]
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg.tobytes()).decode()}"
