"""Template sentences for scenes that captioners do not know: the colon (paper, appendix A.1 and Figure 6)."""

from __future__ import annotations


def colon_sentence(segment: str, texture: str) -> str:
    """The paper's sentence for a frame of C3VD.

    Args:
        segment: of the colon, such as "descending colon".
        texture: of the mucosa as a number word, such as "two".

    Returns:
        "The image shows a medical scene of {segment} with texture type {texture}." (paper, Figure 6).
    """
    return f"The image shows a medical scene of {segment} with texture type {texture}."
