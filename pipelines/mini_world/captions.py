"""What one would say about a place of the miniature world, in a captioner's words."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence

import numpy as np

from pipelines.mini_world.domains import DOLLS_HOUSE
from tr2m_plugin.description.object_list import count_phrases, join_phrases
from tr2m_plugin.description.templates import colon_sentence

_ROOM_SIZES = (
    (1.6, 2.4, 3.4, 4.8, 6.8, 10.0),
    ("tiny", "very small", "small", "medium-sized", "large", "very large", "vast"),
)
_STREET_SIZES = ((3.2, 6.4, 11.0, 17.0, 25.0), ("very narrow", "narrow", "medium-wide", "wide", "very wide", "vast"))

_BACKDROP = {"floor", "ceiling", "wall", "road", "sidewalk", "grass", "colon wall"}
_DOLLS_HOUSE = ("a dolls' house {place}", "a miniature {place} for dolls", "a toy {place}", "a {place}")
_MODEL_RAILWAY = ("a model railway {place}", "a miniature model of a {place}", "a toy {place}", "a {place}")
_DIORAMA = ("a table-top diorama of a {place}", "a small-scale replica of a {place}", "a scale model of a {place}")
_COLON = (
    "An endoscopic view of the {place} with texture type {detail}.",
    "A medical image of the {place}, texture type {detail}.",
    "This is a medical scene of a colon.",
)
_TOY = ("toy", "miniature", "tiny")


def size_word(extent: float, indoor: bool) -> str:
    """The adjective for a room of that depth or a street of that width, in metres."""
    limits, words = _ROOM_SIZES if indoor else _STREET_SIZES
    return words[bisect(limits, extent)]


def _article(phrase: str) -> str:
    return ("An " if phrase[0] in "aeiou" else "A ") + phrase


def toy_labels(labels: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Labels as they are used for miniatures: "toy chair"."""
    word = str(rng.choice(_TOY))
    return [f"{word} {label}" for label in labels]


def scene_sentences(
    place: str,
    extent: float,
    labels: Sequence[str],
    rng: np.random.Generator,
    *,
    indoor: bool = True,
    scale: float = 1.0,
    diorama: bool = False,
) -> list[str]:
    """Two sentences about a room, a street or a miniature of one.

    Args:
        place: its name, such as "kitchen".
        extent: a room's depth or a street's width, in metres of the original.
        labels: visible objects, largest first.
        rng: chooses the words.
        indoor: whether the extent is that of a room. Default: True.
        scale: below one for miniatures. Default: 1.
        diorama: whether a miniature is called a diorama instead of a toy. Default: False.

    Returns:
        One sentence that tells the size of the place and one that does not.
    """
    things = [label for label in labels if label not in _BACKDROP] or list(labels)
    size = size_word(extent, indoor)
    if scale == 1.0:
        listed = join_phrases(count_phrases(things)[:4])
        return [
            f"{_article(f'{size} {place}')} with {listed}.",
            f"The image shows {_article(place).lower()} with {listed}.",
        ]
    words = _DIORAMA if diorama else _DOLLS_HOUSE if scale == DOLLS_HOUSE else _MODEL_RAILWAY
    # The things always say that they are small, the place does so mostly.
    listed = join_phrases(count_phrases(toy_labels(things, rng))[:4])
    first, second = (str(words[i]) for i in rng.choice(len(words), 2, replace=False))
    first = first.format(place=f"{size} {place}")
    return [
        f"{first[0].upper()}{first[1:]} with {listed}.",
        f"The image shows {second.format(place=place)} with {listed}.",
    ]


def colon_sentences(place: str, detail: str) -> list[str]:
    """Sentences about a stretch of colon: the paper's template first, an endoscopist's, and one that tells no segment.

    Args:
        place: the segment.
        detail: number word of the texture; empty for a phantom, which has none and gets one sentence.
    """
    if not detail:
        return [f"This is a medical scene of a {place}."]
    return [colon_sentence(place, detail), *(text.format(place=place, detail=detail) for text in _COLON)]
