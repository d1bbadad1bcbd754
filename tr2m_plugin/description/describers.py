"""Describing a handful of pictures from the command line, in this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tr2m_plugin.datasets.arrays import read_image
from tr2m_plugin.datasets.parquet import DESCRIPTIONS, write_table
from tr2m_plugin.datasets.pictures import name_pictures
from tr2m_plugin.errors import InputError, attempt
from tr2m_plugin.trusted import check_options

DESCRIBERS = {
    "llava-vicuna": ("Llava", {"model": "llava-hf/llava-v1.6-vicuna-7b-hf"}),
    "llava-mistral": ("Llava", {"model": "llava-hf/llava-v1.6-mistral-7b-hf"}),
    "maskdino": ("MaskDino", {}),
    "transformers": ("Transformers", {}),
}
"""What the command line calls them."""


def make_describer(kind: str, options: dict[str, Any], device: str) -> Any:
    """A describer that looks at pictures, by type: Llava, MaskDino or Transformers.

    Raises:
        InputError: an option is unknown, missing or of the wrong kind.
    """
    from tr2m_plugin.description.listers import MaskDinoLister, TransformersLister
    from tr2m_plugin.description.llava import LlavaDescriber

    makers: dict[str, type] = {"Llava": LlavaDescriber, "MaskDino": MaskDinoLister, "Transformers": TransformersLister}
    check_options(makers[kind], options, kind)
    try:
        return makers[kind](**options, device=device)
    except TypeError as error:
        raise InputError(f"{kind}: {error}") from error


def describe_pictures(
    pictures: Sequence[str], out: Path, describer: str, given: Mapping[str, Any], device: str = "auto"
) -> tuple[int, list[tuple[str, str]]]:
    """Describes pictures and writes the table of descriptions.

    Args:
        pictures: files and folders; a picture's sample id is its path below its folder, without the extension.
        out: Parquet file.
        describer: one of `DESCRIBERS`.
        given: its options.
        device: torch device. Default: auto.

    Returns:
        The number of sentences, and name and reason of every picture that failed.
    """
    kind, options = DESCRIBERS[describer]
    made = make_describer(kind, {**options, **given}, device)
    named = name_pictures(list(pictures))
    failed: dict[str, str] = {}
    count = 0

    def describe(source: str, name: str) -> list[dict[str, Any]]:
        return made.describe([read_image(source)], [name])

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal count
        for name, path in tqdm(named, unit="picture", desc="describe", mininterval=1):
            found = attempt(partial(describe, str(path), name), str(path), failed)
            for row in found or ():
                count += 1
                yield {"dataset": "pictures", **row}

    write_table(out, DESCRIPTIONS, rows())
    return count, list(failed.items())
