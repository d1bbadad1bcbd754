"""Sentences about pictures that are in memory, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tr2m_plugin.description.describers import make_describer
from tr2m_plugin.description.pictures import PICTURES
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import IndexRow


def frame_describer(kind: str, options: Mapping[str, Any], device: str = "auto") -> Callable[[str, np.ndarray], str]:
    """A function that asks a describer for the first sentence about a picture, by its name, (H, W, 3) uint8 RGB.

    Args:
        kind: type of a describer that looks at pictures.
        options: what the describer's constructor takes.
        device: torch device. Default: auto.

    Raises:
        InputError: see `make_describer`; the function's, that the picture cannot be described.
    """
    describer = make_describer(kind, options, device)
    describer.prompts = describer.prompts[:1]

    def describe(name: str, image: np.ndarray) -> str:
        row = IndexRow(dataset=PICTURES, sample_id=name, split="", image="")
        lines = describer.describe([row], [image])
        if not lines:
            raise InputError(f"{name}: there is no sentence about it")
        return lines[0].text

    return describe
