"""Text in pictures: whatever a sentence or a name holds, it is drawn as it is, in the place that there is."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from matplotlib.font_manager import FontProperties, findfont, get_font

MISSING = "\ufffd"
"""Stands for a character that the font does not have."""


def write_text(put: Callable[..., Any], text: str, letters: int, lines: int = 1, **options: Any) -> None:
    """Writes a text: no mathematics, wrapped, and cut with an ellipsis where it is longer.

    Args:
        put: a method of matplotlib's that takes a text, such as `axes.set_title`.
        text: a text of any length and any characters; control characters become blanks.
        letters: per line.
        lines: the most. Default: 1.
        **options: options of `put`.
    """
    put("\n".join(fit_text(text, letters, lines)), parse_math=False, **options)


def fit_text(text: str, letters: int, lines: int = 1) -> list[str]:
    """A text as lines for `write_text`; lines that it has stay apart."""
    most = letters * lines
    shown = "".join(_drawn(c) for c in text[: most + 1])
    wrapped = [part for line in shown.split("\n") for part in textwrap.wrap(line, max(letters, 2))]
    if len(text) > most or len(wrapped) > lines:
        wrapped = wrapped[:lines]
        last = wrapped.pop() if wrapped else ""
        wrapped.append(last[: letters - 1].rstrip() + "…")
    return wrapped


@lru_cache(maxsize=4096)
def _drawn(character: str) -> str:
    if character == "\n" or character.isspace():
        return "\n" if character == "\n" else " "
    if not character.isprintable() and not "\ud800" <= character <= "\udfff":
        return " "
    font = get_font(findfont(FontProperties()))
    return character if font.get_char_index(ord(character)) else MISSING
