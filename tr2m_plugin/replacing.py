"""What may be replaced: files and folders that were written by the same command before, and nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tr2m_plugin.errors import InputError, require

PNG_MARK = {"Software": "tr2m_plugin"}
"""Text in the pictures that commands draw into a file of their own."""


def check_file(path: Path, is_ours: Callable[[Path], bool], what: str, where: str = "--out") -> None:
    """Looks at the place of a file to be written.

    Args:
        path: the place.
        is_ours: whether a file is one of ours.
        what: such files are, for the message.
        where: the option that names another place. Default: --out.

    Raises:
        InputError: a file is there that is not one of ours.
        OSError: there can be no such file, as where its name is too long.
    """
    try:
        os.lstat(path)
    except FileNotFoundError:
        return
    if not (path.is_file() and is_ours(path)):
        raise InputError(f"{path} is there already and is not {what}: choose another {where}, or move it away")


def check_folder(folder: Path, is_ours: Callable[[Path], bool], what: str, where: str = "--out") -> None:
    """Raises an InputError when a folder to be filled holds something and is not ours; see `check_file`."""
    if folder.is_dir() and (is_ours(folder) or not any(folder.iterdir())):
        return
    if os.path.lexists(folder):
        raise InputError(f"{folder} holds other things and is not {what}: choose another {where}")


def read_marked(path: Path, **mark: Any) -> dict[str, Any] | None:
    """The content of a JSON file that has those values; None where it is another file or none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and all(found.get(key) == value for key, value in mark.items()) else None


def is_drawing(path: Path) -> bool:
    """Whether a file is a PNG with `PNG_MARK`."""
    with path.open("rb") as file:
        start = file.read(1000)
    return start.startswith(b"\x89PNG") and all(f"{k}\0{v}".encode() in start for k, v in PNG_MARK.items())


def has_columns(path: Path, names: Sequence[str]) -> bool:
    """Whether a file is a Parquet table with columns of those names."""
    parquet = require("pyarrow.parquet", "to read tables", "data")
    try:
        return set(names) <= set(parquet.read_schema(path).names)
    except (OSError, ValueError):  # pyarrow's errors are ValueErrors
        return False
