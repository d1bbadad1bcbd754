"""Sentences that list the objects in a picture, as the paper makes them from panoptic labels (appendix A.1)."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from tr2m_plugin.errors import InputError, require

if TYPE_CHECKING:
    import inflect


@lru_cache(maxsize=1)
def _english() -> inflect.engine:
    return require("inflect", "to write object lists", "data").engine()


def join_phrases(phrases: Sequence[str]) -> str:
    """Joins phrases as English does: "a", "a and b", "a, b, and c"."""
    if len(phrases) < 3:
        return " and ".join(phrases)
    return ", ".join(phrases[:-1]) + f", and {phrases[-1]}"


@lru_cache(maxsize=4096)
def count_phrase(label: str, count: int) -> str:
    """Writes a number of objects: "a chair", "an oven", "two traffic lights".

    Args:
        label: singular name of the object.
        count: how many, at least one.
    """
    english = _english()
    if count == 1:
        return english.a(label)
    plural = label if english.singular_noun(label) else english.plural_noun(label, count)  # "stairs" is plural already
    return f"{english.number_to_words(str(count))} {plural}"


def count_phrases(labels: Sequence[str]) -> list[str]:
    """One phrase per distinct label, in order of first appearance."""
    return [count_phrase(label, count) for label, count in Counter(labels).items()]


def object_sentences(
    labels: Sequence[str], n: int = 5, seed: int = 0, style: Literal["plain", "rsa"] = "plain"
) -> list[str]:
    """Sentences of the form "An image with a wall, two chairs, and a table.".

    The rule is that of RSA's published captions (Zeng et al., "RSA: Resolving Scale Ambiguities in Monocular Depth
    Estimators through Language Descriptions", 2024): shuffle, count, list in order of first appearance.

    Args:
        labels: one label per object; repeated labels are counted.
        n: number of sentences, each with the objects in another order. Default: 5.
        seed: number that the shuffles start from. Default: 0.
        style: `rsa` follows the published sentences to the letter: the first word of a label only ("two traffics"),
            always "a" ("a oven"), a comma before "and" always. `plain` is plain English: whole labels, "an" where it
            belongs. Default: plain.

    Returns:
        `n` sentences; "An image." when there are no labels.

    Raises:
        InputError: another style.
    """
    if style not in ("plain", "rsa"):
        raise InputError(f"style must be 'plain' or 'rsa', not {style!r}")
    if not labels:
        return ["An image."] * n
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(labels).tolist() for _ in range(n)]
    if style == "plain":
        return [f"An image with {join_phrases(count_phrases(order))}." for order in orders]
    return [f"An image with {_rsa_phrases([label.split()[0] for label in order])}." for order in orders]


def sample_seed(seed: int, sample: str) -> int:
    """A picture's own seed, so that pictures with the same objects list them in different orders."""
    return seed + zlib.crc32(sample.encode())


def _rsa_phrases(names: Sequence[str]) -> str:
    phrases = [_rsa_phrase(name, count) for name, count in Counter(names).items()]
    return ", and ".join(filter(None, (", ".join(phrases[:-1]), phrases[-1])))


@lru_cache(maxsize=4096)
def _rsa_phrase(name: str, count: int) -> str:
    english = _english()
    return f"a {name}" if count == 1 else f"{english.number_to_words(str(count))} {english.plural(name)}"
