"""Random sentences of the kinds that describe pictures, for the text encoder to learn from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from pipelines.mini_world.captions import scene_sentences, toy_labels
from pipelines.mini_world.domains import DOLLS_HOUSE, MODEL_RAILWAY
from tr2m_plugin.description.object_list import count_phrase, count_phrases, join_phrases, object_sentences

NUMBERS = ("one", "two", "three", "four", "five")


@cache
def vocabulary() -> dict[str, Any]:
    """The lists of vocabulary.yaml; comma-separated text becomes a list."""
    content = yaml.safe_load((Path(__file__).parent / "vocabulary.yaml").read_text(encoding="utf-8"))
    return {k: [w.strip() for w in v.split(",")] if isinstance(v, str) else v for k, v in content.items()}


def plain_words(tokens: Sequence[str]) -> list[str]:
    """The tokens of a vocabulary that are words of three letters or more."""
    return sorted(token for token in tokens if re.fullmatch("[a-z]{3,}", token))


def random_sentences(rng: np.random.Generator, words: Sequence[str]) -> Iterator[str]:
    """An endless stream of sentences: places, object lists, miniatures, medical scenes, and words in no order.

    Args:
        rng: decides everything.
        words: mixed in now and then, so that no word is quite unknown.
    """
    lists = vocabulary()
    while True:
        place = str(rng.choice(lists["places"] if rng.random() < 0.85 else words))
        if rng.random() < 0.3:
            place = f"{rng.choice(lists['qualities'])} {place}"
        pool = lists["things"] if rng.random() < 0.85 else words
        labels = [str(label) for label in rng.choice(pool, int(rng.integers(1, 7)))]
        labels += labels[: int(rng.integers(0, 2))]
        kind = rng.random()
        if kind < 0.3:
            extent, indoor = float(np.exp(rng.uniform(0, 3.7))), bool(rng.random() < 0.5)
            scale = float(rng.choice([1.0, 1.0, DOLLS_HOUSE, MODEL_RAILWAY]))
            diorama = bool(rng.random() < 0.4)
            yield str(
                rng.choice(scene_sentences(place, extent, labels, rng, indoor=indoor, scale=scale, diorama=diorama))
            )
        elif kind < 0.5:
            yield object_sentences(
                labels if rng.random() < 0.6 else toy_labels(labels, rng), 1, int(rng.integers(2**31))
            )[0]
        elif kind < 0.65:
            text = str(rng.choice(lists["miniatures"])).format(place=place)
            yield f"{text[0].upper()}{text[1:]} with {join_phrases(count_phrases(toy_labels(labels, rng))[:3])}."
        elif kind < 0.75:
            organ, number = str(rng.choice(lists["organs"])), str(rng.choice(NUMBERS))
            yield str(rng.choice(lists["medical"])).format(organ=organ, number=number)
        elif kind < 0.9:
            yield str(rng.choice(lists["others"])).format(
                place=count_phrase(place, 1), thing=count_phrase(labels[0], 1)
            )
        else:
            yield " ".join(str(word) for word in rng.choice(words, int(rng.integers(1, 8))))
