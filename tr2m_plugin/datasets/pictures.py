"""Which files are pictures, what they are called, and the sentences beside them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tr2m_plugin.datasets.arrays import IMAGE_SUFFIXES
from tr2m_plugin.errors import InputError
from tr2m_plugin.files import read_lines

Picture = str | os.PathLike | np.ndarray


def list_pictures(source: str | os.PathLike, skip: str | os.PathLike | None = None) -> list[Path]:
    """The picture itself, or every picture of a folder and the folders below it, sorted.

    Args:
        source: a file or a folder.
        skip: a folder below it whose pictures are left out, such as the one that predictions go to. Default: none.

    Raises:
        InputError: there is none.
    """
    path = Path(source)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"{path} is neither a picture nor a folder")
    found = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    if skip is not None and path.resolve() in Path(skip).resolve().parents:
        found = [p for p in found if Path(skip).resolve() not in p.resolve().parents]
    if not found:
        raise InputError(f"{path} holds no picture ({', '.join(IMAGE_SUFFIXES)})")
    return found


def name_pictures(
    inputs: Picture | Sequence[Picture], skip: str | os.PathLike | None = None
) -> list[tuple[str, Path | np.ndarray]]:
    """Every picture of the inputs with the name its files get.

    A picture of a folder is named by its path below the folder, any other file by its own name, an array by its
    number, all without extension; a name that is taken gets a number.

    Args:
        inputs: a picture, a folder, an array, or several of them.
        skip: see `list_pictures`.

    Raises:
        InputError: a file or folder holds no picture.
    """
    named: dict[str, Path | np.ndarray] = {}

    def add(name: str, picture: Path | np.ndarray) -> None:
        free = (f"{name}_{i}" if i > 1 else name for i in itertools.count(1))
        named[next(candidate for candidate in free if candidate not in named)] = picture

    listed = [inputs] if isinstance(inputs, (str, os.PathLike, np.ndarray)) else inputs
    for number, source in enumerate(listed):
        if isinstance(source, np.ndarray):
            add(str(number), source)
            continue
        root = Path(source) if Path(source).is_dir() else Path(source).parent
        for path in list_pictures(source, skip):
            add(path.relative_to(root).with_suffix("").as_posix(), path)
    return list(named.items())


def read_sentence(picture: Path) -> str:
    """The sentence in the text file beside a picture, `NAME.txt`; its first line that is not blank.

    Raises:
        InputError: there is no such file or no text in it.
    """
    path = picture.with_suffix(".txt")
    if not path.is_file():
        raise InputError(f"{picture} has no description: give a text, or write one into {path.name} beside it")
    lines = read_lines(path)
    if not lines:
        raise InputError(f"{path} holds no text")
    return lines[0]
