"""Answers kept on disk as they come, so that none is paid for twice."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from pathlib import Path

from tr2m_plugin.description.chat_server import Reply
from tr2m_plugin.files import read_lines, reading


class KeptAnswers:
    """Answers by their questions, in a folder to which every process adds a file of lines of its own.

    Args:
        folder: made where it does not exist. Default: nothing is kept.

    Raises:
        InputError: it cannot be read.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._known: dict[str, Reply] = {}
        self._path = None
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{socket.gethostname()}-{os.getpid()}.jsonl"
        with reading(folder):
            files = sorted(folder.glob("*.jsonl"))
        for line in (line for file in files for line in read_lines(file)):
            try:
                key, text, ended, model = json.loads(line)
            except (ValueError, TypeError):  # a line that a kill cut off
                continue
            self._known[key] = Reply(text, ended, model)

    def find(self, question: bytes) -> Reply | None:
        """The answer to a question; None where there is none."""
        return self._known.get(_digest(question))

    def add(self, question: bytes, reply: Reply) -> None:
        """Keeps an answer."""
        if self._path is None:
            return
        key = _digest(question)
        self._known[key] = reply
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"\n{json.dumps([key, *reply])}")  # begins the line, so that it follows no half of one


def _digest(question: bytes) -> str:
    return hashlib.sha256(question).hexdigest()
