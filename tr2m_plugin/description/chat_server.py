"""A server that speaks OpenAI's chat completions API: a question asked, and asked again where that helps."""

from __future__ import annotations

import json
import math
import os
import random
import time
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tr2m_plugin.errors import InputError, ServiceError, require

KEY, ADDRESS = "OPENAI_API_KEY", "OPENAI_BASE_URL"
"""Where the environment holds the key, which stands nowhere else, and the address."""

CLOUD = "https://api.openai.com/v1"
REFUSED = {
    401: f"the key is refused: set {KEY} to one of this server",
    402: "there is no credit left",
    404: "it knows no such model or address: see model and base_url",
}
"""Statuses that the next question would get too."""

AGAIN = (408, 409, 425, 429)
"""Statuses that may be another in a moment, as all from 500 on may."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds before the second try, doubled with every further one, and what they may come to."""


class Reply(NamedTuple):
    """An answer as it came.

    Attributes:
        text: the answer; empty where there was none.
        ended: whether the model ended it, and not the limit of tokens.
        model: what the server calls the model; None where it does not say.
    """

    text: str
    ended: bool
    model: str | None


class AgainError(Exception):
    """A try that failed as the next one need not.

    Attributes:
        pause: seconds that the server asks to wait; None where it does not say.
    """

    def __init__(self, reason: str, pause: float | None = None) -> None:
        super().__init__(reason)
        self.pause = pause


class ChatServer:
    """Asks a server questions, of which many may be on their way.

    Args:
        base_url: address below which `/chat/completions` lies. Default: the environment's OPENAI_BASE_URL, and
            OpenAI's cloud where there is none.
        tries: how often a question is asked that gets no answer.
        timeout: seconds in which an answer is whole.
        longest_wait: seconds that the server may ask to wait; of more the question fails.

    Raises:
        InputError: the address is none, or holds a password; or the key is none.
    """

    def __init__(self, base_url: str | None, tries: int, timeout: float, longest_wait: float) -> None:
        self._http = require("httpx2", "to ask a server", "data")
        self._anyio = require("anyio", "to ask a server", "data")
        base = (base_url or os.environ.get(ADDRESS) or CLOUD).rstrip("/")
        self.url, self.tries, self.timeout, self.longest_wait = f"{base}/chat/completions", tries, timeout, longest_wait
        self.host = _host(base)
        self._key = os.environ.get(KEY, "").strip()
        if not (self._key.isascii() and self._key.isprintable()):
            raise InputError(f"{KEY} holds characters that are of no key")
        self._free_at = 0.0

    def client(self, in_flight: int) -> Any:
        """Opens connections, as an asynchronous context; see `ask`."""
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        limits = self._http.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
        return self._http.AsyncClient(headers=headers, timeout=None, limits=limits)

    async def ask(self, client: Any, body: bytes) -> Reply:
        """Asks until there is an answer.

        Args:
            client: open connections.
            body: the question, in JSON.

        Raises:
            InputError: the server refuses the question, or answers none of the tries.
            ServiceError: the server refuses the key, knows no such model, or there is no credit.
        """
        for tried in range(1, self.tries + 1):
            await self._wait()
            try:
                return await self._try(client, body)
            except AgainError as error:
                reason, asked = str(error), error.pause
            if asked is not None and asked > self.longest_wait:
                raise InputError(f"{self.host}: {reason}; it asks to wait {asked:g} s, longer than longest_wait")
            pause = min(FIRST_PAUSE * 2 ** (tried - 1), LONGEST_PAUSE) * random.uniform(0.5, 1)
            if asked is not None:  # it is meant for all questions
                self._free_at = max(self._free_at, time.monotonic() + max(asked, pause))
            elif tried < self.tries:
                await self._anyio.sleep(pause)
        raise InputError(f"{self.host}: {reason}, after {self.tries} tries")

    async def _wait(self) -> None:
        """Until nobody is asked to wait, and then not all at the same moment."""
        while (left := self._free_at - time.monotonic()) > 0:
            await self._anyio.sleep(left + random.uniform(0, FIRST_PAUSE))

    async def _try(self, client: Any, body: bytes) -> Reply:
        try:
            with self._anyio.fail_after(self.timeout):
                response = await client.post(self.url, content=body)
        except TimeoutError as error:
            raise AgainError(f"no answer in {self.timeout:g} s") from error
        except self._http.RequestError as error:
            raise AgainError(self._line(f"{type(error).__name__}: {error}")) from error
        status = response.status_code
        if status == 200:
            return self._read(response.content)
        code, said = self._complaint(response.content)
        message = f"status {status}{': ' if said else ''}{said}"
        if status in REFUSED or 300 <= status < 400:
            hint = REFUSED.get(status, "it sends elsewhere: give that address as base_url")
            raise ServiceError(f"{self.host}: {hint} ({message})")
        if code == "insufficient_quota":
            raise ServiceError(f"{self.host}: {REFUSED[402]} ({message})")
        if status in AGAIN or status >= 500:
            raise AgainError(message, retry_after(response.headers.get("retry-after")))
        raise InputError(f"{self.host}: {message}")

    def _read(self, content: bytes) -> Reply:
        try:
            found = json.loads(content)
            choice = found["choices"][0]
            message, why = choice["message"], choice.get("finish_reason")
            text, refusal = message.get("content"), message.get("refusal")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            said = self._complaint(content)[1] or self._line(content[:200].decode(errors="replace"))
            raise AgainError(f"what came is no chat completion: {said!r}") from error
        if refusal or why == "content_filter":
            raise InputError(f"{self.host}: the model does not answer: {self._line(str(refusal or why))}")
        model = found.get("model")
        return Reply(text if isinstance(text, str) else "", why != "length", model if isinstance(model, str) else None)

    def _complaint(self, content: bytes) -> tuple[Any, str]:
        """Code and message of an error, as far as servers agree on its form."""
        try:
            found = json.loads(content)
            error = found.get("error", found)
            code, message = (error.get("code"), error.get("message")) if isinstance(error, dict) else (None, error)
        except (ValueError, AttributeError, RecursionError):
            return None, ""
        return code, self._line(message) if isinstance(message, str) else ""

    def _line(self, text: str) -> str:
        """A short line for messages, without the key, which some servers repeat."""
        text = text.replace(self._key, "***") if self._key else text
        return " ".join(text.split())[:200]


def _host(base: str) -> str:
    """The host of an address, after a check."""
    try:
        parts = urlsplit(base)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment)
        host = parts.netloc
    except ValueError:
        whole, host = False, ""
    if "@" in host:
        raise InputError(f"base_url holds a name or a password: give the key as {KEY} instead")
    if not whole:
        raise InputError(f"base_url is an address such as http://localhost:8000/v1, not {base!r:.100}")
    return host


def retry_after(value: str | None) -> float | None:
    """The seconds that a Retry-After header asks to wait; None without one that can be read.

    Args:
        value: of the header: seconds, or a date.
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
