"""Describing a handful of pictures in this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from tr2m_plugin.datasets.arrays import read_image
from tr2m_plugin.datasets.parquet import write_rows
from tr2m_plugin.datasets.pictures import name_pictures
from tr2m_plugin.description.describers import Describer, make_describer
from tr2m_plugin.errors import InputError, MissingExtraError, ServiceError, attempt, reason_of
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
        ServiceError: no further picture can be described; the table holds those before.
    """
    describer = make_describer(kind, options, device)
    failed: dict[str, str] = {}
    ended: list[ServiceError] = []
    count = 0

    def lines() -> Iterator[DescriptionRow]:
        nonlocal count
        try:
            for found in _described(describer, name_pictures(list(pictures)), failed):
                count += len(found)
                yield from found
        except ServiceError as error:
            if not count:
                raise
            ended.append(error)

    write_rows(out, DescriptionRow, lines())
    if ended:
        raise ServiceError(f"{ended[0]}; {out} holds the {count} sentences before that") from ended[0]
    return count, list(failed.items())


def first_sentences(
    named: Sequence[tuple[str, Any]], kind: str, options: Mapping[str, Any], device: str = "auto"
) -> tuple[dict[str, str], dict[str, str]]:
    """The first sentence about each picture.

    Args:
        named: names and files of pictures.
        kind: see `describe_pictures`, as are the next two.
        options: what the describer's constructor takes.
        device: torch device. Default: auto.

    Returns:
        Sentences by the pictures' names, and reasons by the files of those that failed.

    Raises:
        InputError: see `make_describer`.
        ServiceError: no further picture can be described.
    """
    describer = make_describer(kind, options, device)
    describer.prompts = describer.prompts[:1]
    failed: dict[str, str] = {}
    found = {lines[0].sample_id: lines[0].text for lines in _described(describer, named, failed) if lines}
    return found, failed


def _described(
    describer: Describer, named: Sequence[tuple[str, Any]], failed: dict[str, str]
) -> Iterator[list[DescriptionRow]]:
    """The rows of each picture that can be described; why others cannot, by their files, goes into `failed`."""

    def load(name: str, file: str) -> tuple[IndexRow, np.ndarray]:
        return IndexRow(dataset=PICTURES, sample_id=name, split="", image=file), read_image(file)

    with tqdm(total=len(named), unit="picture", desc="describe", mininterval=1) as bar:
        for start in range(0, len(named), describer.at_once):
            part = [(name, str(path)) for name, path in named[start : start + describer.at_once]]
            loaded = [one for one in (attempt(partial(load, *one), one[1], failed) for one in part) if one is not None]
            for (row, _), found in zip(loaded, _each(describer, loaded), strict=True):
                if isinstance(found, InputError):
                    failed[row.image] = str(found)
                else:
                    yield found
            bar.update(len(part))


def _each(
    describer: Describer, loaded: Sequence[tuple[IndexRow, np.ndarray]]
) -> Sequence[list[DescriptionRow] | InputError]:
    try:
        return describer.each([row for row, _ in loaded], [image for _, image in loaded]) if loaded else ()
    except (MissingExtraError, ServiceError):
        raise
    except Exception as error:  # what pictures make of a network is anybody's guess
        return [InputError(reason_of(error))] * len(loaded)
