"""Describing a handful of pictures in this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tr2m_plugin.datasets.arrays import read_image
from tr2m_plugin.datasets.parquet import write_rows
from tr2m_plugin.datasets.pictures import name_pictures
from tr2m_plugin.description.describers import make_describer
from tr2m_plugin.errors import attempt
from tr2m_plugin.rows import DescriptionRow, IndexRow

PICTURES = "pictures"
"""What the table calls the dataset of any pictures."""


def describe_pictures(
    pictures: Sequence[str], out: Path, kind: str, options: Mapping[str, Any], device: str = "auto"
) -> tuple[int, list[tuple[str, str]]]:
    """Describes pictures and writes the table of descriptions.

    Args:
        pictures: files and folders; a picture's sample id is its path below its folder, without the extension.
        out: Parquet file.
        kind: type of a describer that looks at pictures.
        options: what the describer's constructor takes.
        device: torch device. Default: auto.

    Returns:
        The number of sentences, and name and reason of every picture that failed.

    Raises:
        InputError: see `make_describer`; or a path is neither a picture nor a folder.
    """
    describer = make_describer(kind, options, device)
    named = name_pictures(list(pictures))
    failed: dict[str, str] = {}
    count = 0

    def describe(source: str, name: str) -> list[DescriptionRow]:
        return describer.describe(
            [IndexRow(dataset=PICTURES, sample_id=name, split="", image=source)], [read_image(source)]
        )

    def lines() -> Iterator[DescriptionRow]:
        nonlocal count
        for name, path in tqdm(named, unit="picture", desc="describe", mininterval=1):
            found = attempt(partial(describe, str(path), name), str(path), failed) or []
            count += len(found)
            yield from found

    write_rows(out, DescriptionRow, lines())
    return count, list(failed.items())
