"""Template sentences for scenes that captioners do not know: the colon (paper, appendix A.1 and Figure 6)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tr2m_plugin.description.describers import Describer, numbered
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import DescriptionRow, IndexRow

if TYPE_CHECKING:
    import numpy as np

SEGMENTS = {
    "cecum": "cecum",
    "desc": "descending colon",
    "sigmoid": "sigmoid colon",
    "trans": "transcending colon",
}
"""C3VD's segments by the beginning of a sequence's name, in the words of the release."""

TEXTURES = ("one", "two", "three", "four")
COLONS = ("c3vd", "simcol")
"""Datasets of colonoscopy."""

SIMCOL = "The image shows a medical scene of a cecum with texture type one."
"""The release's sentence for every frame of SimCol3D."""


def colon_sentence(segment: str, texture: str) -> str:
    """The paper's sentence for a frame of C3VD.

    Args:
        segment: part of the colon, such as "descending colon".
        texture: type of the mucosa's texture as a number word, such as "two".

    Returns:
        "The image shows a medical scene of {segment} with texture type {texture}." (paper, Figure 6).
    """
    return f"The image shows a medical scene of {segment} with texture type {texture}."


SCENES = {
    "indoor": "A room with furniture.",
    "outdoor": "A street with buildings and cars.",
    "colon": colon_sentence("descending colon", "two"),
}
"""A sentence of each domain, where nothing is known of a picture but that: another scene's sentence of the same domain
costs the paper's model little (AbsRel .091 instead of .082 on NYUv2), another domain's much (.221 instead of .092 on
C3VD; paper, Table 10)."""


def sequence_sentence(sequence: str) -> str:
    """The sentence for a frame of a C3VD sequence, such as `desc_t4_a_p2`, or of a path that holds its name.

    Raises:
        InputError: no part of it is a sequence's name.
    """
    for part in re.split(r"[/\\]", sequence):
        match = re.match(r"(cecum|desc|sigmoid|trans)[a-z]*_t([1-4])_", f"{part}_", re.IGNORECASE)
        if match:
            return colon_sentence(SEGMENTS[match[1].lower()], TEXTURES[int(match[2]) - 1])
    raise InputError(
        f"{sequence!r} names no sequence of C3VD: SEGMENT_tTEXTURE_VIEW, SEGMENT one of {', '.join(SEGMENTS)} and "
        "TEXTURE 1 to 4"
    )


class ColonTemplate(Describer):
    """Describes frames of colonoscopy by the name of their sequence.

    Args:
        dataset: `c3vd`, whose sample ids hold the sequence, or `simcol`, whose frames all have one sentence. Default:
            c3vd.

    Raises:
        InputError: another dataset.
    """

    def __init__(self, dataset: str = "c3vd") -> None:
        if dataset not in COLONS:
            raise InputError(f"ColonTemplate knows the datasets c3vd and simcol, not {dataset!r}")
        self.dataset = dataset

    def describe(self, rows: Sequence[IndexRow], images: Sequence[np.ndarray] = ()) -> list[DescriptionRow]:
        """Gives one sentence per frame; the pictures are not looked at.

        Raises:
            InputError: a sample id holds no sequence's name.
        """
        return [line for row in rows for line in self._lines(row)]

    def _lines(self, row: IndexRow) -> list[DescriptionRow]:
        text = SIMCOL if self.dataset == "simcol" else sequence_sentence(row.sample_id)
        return [replace(line, model="ColonTemplate") for line in numbered(row, "template", [text])]


def colon_fallback(row: IndexRow) -> list[DescriptionRow]:
    """Gives the template's rows for a picture of C3VD or SimCol3D that nobody described, none for other datasets.

    Args:
        row: a row of the index.
    """
    return ColonTemplate(row.dataset).describe([row]) if row.dataset in COLONS else []
