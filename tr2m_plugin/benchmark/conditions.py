"""Which sentences a model is given: right ones, wrong ones (paper, Table 10), and spoilt ones (its section A.5)."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tr2m_plugin.benchmark.datasets import Dataset

SWAPPED = 0.2
"""Share of a sentence's letters that change places in a misspelt one."""


@dataclass(frozen=True)
class Description:
    """A kind of sentence.

    Attributes:
        heading: how Table 10 calls it.
        suffix: what follows a model's label.
        spoil: makes it of the picture's own sentence, with a generator of the picture's own; None where it is that, or
            another picture's.
    """

    heading: str
    suffix: str
    spoil: Callable[[str, np.random.Generator], str] | None = None


def truncated(text: str, rng: np.random.Generator) -> str:
    """The first half of a sentence's words, one more than the rest where their number is odd."""
    words = text.split()
    return " ".join(words[: (len(words) + 1) // 2])


def misspelt(text: str, rng: np.random.Generator) -> str:
    """A sentence with the share `SWAPPED` of its letters swapped: pairs of neighbours in a word that differ.

    One pair at least. No letter is swapped twice, so that there are fewer where words are short.
    """
    letters = list(text)
    wanted = max(1, round(SWAPPED * sum(map(str.isalpha, letters)) / 2))
    places = [i for i, (a, b) in enumerate(pairwise(text)) if a.isalpha() and b.isalpha() and a.lower() != b.lower()]
    taken: set[int] = set()
    for place in rng.permutation(places).astype(int).tolist():
        if len(taken) < 2 * wanted and not taken & {place, place + 1}:
            taken |= {place, place + 1}
            letters[place], letters[place + 1] = letters[place + 1], letters[place]
    return "".join(letters)


def empty(text: str, rng: np.random.Generator) -> str:
    """No word at all."""
    return ""


DESCRIPTIONS = {
    "right": Description("Correct Domain, Correct Scene", ""),
    "wrong_scene": Description("Correct Domain, Incorrect Scene", ", another scene's description"),
    "wrong_domain": Description("Incorrect Domain", ", another domain's description"),
    "truncated": Description("First Half of the Words", ", half the description", truncated),
    "misspelt": Description(f"{SWAPPED:.0%} of the Letters Swapped", ", a misspelt description", misspelt),
    "empty": Description("No Words", ", an empty description", empty),
}
"""The kinds of sentences by name; the first three are the paper's."""

PAPERS = ("right", "wrong_scene", "wrong_domain")
"""Those of the paper's Table 10."""


def wrong_texts(domains: Sequence[str | None], texts: Sequence[str], seed: int) -> dict[str, list[int | None]]:
    """For each picture, another whose sentence is wrong for it, by a seeded draw (paper, Table 10).

    Args:
        domains: domains of the pictures.
        texts: their sentences.
        seed: seed of the draw.

    Returns:
        Two lists of numbers of pictures: `scene` takes one of the same domain with another sentence, `domain` one of
        another domain; None where there is none.
    """
    rng = np.random.default_rng(seed)
    # As numbers, which compare a hundred times faster than words.
    groups = np.unique([str(domain) for domain in domains], return_inverse=True)[1]
    sentences = np.unique(list(texts), return_inverse=True)[1]

    def draw(allowed: np.ndarray) -> int | None:
        return int(rng.choice(np.flatnonzero(allowed))) if allowed.any() else None

    return {
        "domain": [draw(groups != groups[i]) for i in range(len(texts))],
        "scene": [draw((groups == groups[i]) & (sentences != sentences[i])) for i in range(len(texts))],
    }


def spoilt_texts(texts: Mapping[str, str], kind: str, seed: int = 0) -> dict[str, str | None]:
    """Sentences changed as a kind of `DESCRIPTIONS` says, each by a draw of its own, whatever other pictures there are.

    Args:
        texts: the right ones, by the pictures' keys.
        kind: a kind that spoils.
        seed: seed of the draws. Default: 0.

    Returns:
        By the same keys; None for a sentence that it leaves as it is, such as a single word's first half.
    """
    spoil = DESCRIPTIONS[kind].spoil
    assert spoil is not None
    changed = {key: spoil(text, np.random.default_rng([seed, zlib.crc32(key.encode())])) for key, text in texts.items()}
    return {key: None if changed[key].split() == text.split() else changed[key] for key, text in texts.items()}


def choose_texts(
    datasets: Sequence[Dataset], texts: Mapping[str, str], seed: int = 0, wrong_text: str | None = None
) -> dict[str, dict[str, str | None]]:
    """For each of `DESCRIPTIONS`, the sentence of every picture by its key (paper, Table 10).

    Args:
        datasets: among whose pictures wrong sentences are drawn.
        texts: the right ones.
        seed: seed of the draws. Default: 0.
        wrong_text: another domain's sentence, where the datasets have one domain. Default: none.

    Returns:
        None for a picture that has no sentence of the kind.
    """
    rows = list({row.key: row for data in datasets for row in data.rows}.values())
    keys = [row.key for row in rows]
    wrong = wrong_texts([row.domain for row in rows], [texts[key] for key in keys], seed)

    def taken(numbers: Sequence[int | None], stand_in: str | None = None) -> dict[str, str | None]:
        return {key: stand_in if n is None else texts[keys[n]] for key, n in zip(keys, numbers, strict=True)}

    return {
        "right": dict(texts),
        "wrong_scene": taken(wrong["scene"]),
        "wrong_domain": taken(wrong["domain"], wrong_text),
        **{kind: spoilt_texts(texts, kind, seed) for kind, found in DESCRIPTIONS.items() if found.spoil is not None},
    }
