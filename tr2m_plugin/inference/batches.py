"""Pictures and their sentences, a batch in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tr2m_plugin.datasets.arrays import read_image
from tr2m_plugin.datasets.pictures import read_sentence
from tr2m_plugin.errors import InputError

BATCH_PIXELS = 40_000_000
"""A batch takes no further picture from so many pixels on, as pictures wait for their depth at their own size."""

Ready = tuple[str, np.ndarray, str]
"""Name, picture and sentence."""

Fail = Callable[[str, Exception], None]
"""Is told of a picture, by name or file, and of its error."""


def make_batches(pictures: Iterable[tuple[str, Any]], text: Any, batch_size: int, fail: Fail) -> Iterator[list[Ready]]:
    """Pictures with their sentences, read a batch at a time.

    Args:
        pictures: files or arrays with their names.
        text: a sentence for all, one for each, or None for those beside them.
        batch_size: the most pictures of a batch.
        fail: called with a picture's name or file and the error where it cannot be read or has no sentence.
    """
    batch: list[Ready] = []
    for number, (name, picture) in enumerate(pictures):
        try:
            sentence = _sentence(picture, text, number)
            batch.append((name, _pixels(picture), sentence))
        except Exception as error:  # what a broken file makes of a decoder is anybody's guess
            fail(name if isinstance(picture, np.ndarray) else str(picture), error)
        if len(batch) == batch_size or sum(image.shape[0] * image.shape[1] for _, image, _ in batch) > BATCH_PIXELS:
            yield batch
            batch = []
    if batch:
        yield batch


def _pixels(picture: Path | np.ndarray) -> np.ndarray:
    image = picture if isinstance(picture, np.ndarray) else read_image(str(picture))
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise InputError(f"a picture is (H, W, 3) uint8 RGB, not {image.shape} {image.dtype}")
    return image


def _sentence(picture: Any, text: str | Sequence[str] | None, number: int) -> str:
    """A picture's sentence: the one for all, the one of its number, or what lies beside it."""
    if text is None:
        if isinstance(picture, np.ndarray):
            raise InputError("an array has no description beside it: give a text")
        return read_sentence(picture)
    chosen = text if isinstance(text, str) else text[number]
    return check_sentence(chosen, "the text" if isinstance(text, str) else f"text {number + 1} of {len(text)}")


def check_sentence(chosen: Any, which: str) -> str:
    """A sentence that was given, without blanks around it.

    Args:
        chosen: the sentence.
        which: it is, for messages.

    Raises:
        InputError: it is no text, empty, or not UTF-8.
    """
    if not isinstance(chosen, str):
        raise InputError(f"{which} is {chosen!r}: describe the scene in a sentence")
    if not chosen.strip():
        raise InputError(f"{which} is empty: describe the scene in a sentence")
    try:
        chosen.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{which} is not UTF-8: {chosen[:60]!a}") from error
    return chosen.strip()
