"""Files: what the system refuses, text as people save it, and writing that is whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from tr2m_plugin.errors import InputError

MAX_TEXT = 100_000_000
"""Bytes that a text file may have; nobody writes more by hand, and all of it is held in memory."""

_NUMBERS = count(1)
_PARTIAL = re.compile(r"\.partial-(?P<host>.+)-(?P<process>\d+)-\d+(\.\w+)?")


@contextmanager
def reading(path: str | os.PathLike) -> Iterator[None]:
    """A block that reads a file or folder.

    Raises:
        InputError: it is missing or the system refuses it, as without rights; the message names it.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{error.filename or path} does not exist") from error
    except OSError as error:
        raise InputError(f"{error.filename or path} cannot be read: {error.strerror or error}") from error


def file_size(path: str | os.PathLike) -> int:
    """The bytes of a file.

    Raises:
        InputError: it is missing, cannot be read or is a pipe, a socket or a device, which reading could wait for or
            never come to the end of.
    """
    with reading(path):
        found = os.stat(path)
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):  # of a folder the system says so itself
        raise InputError(f"{path} is no file but a pipe, a socket or a device")
    return found.st_size


def read_text(path: str | os.PathLike) -> str:
    r"""The text of a UTF-8 file, without the byte order mark that some editors write; every line ends with "\n".

    Raises:
        InputError: the file is missing, cannot be read, is no regular file, has more than 100 MB or is not UTF-8; the
            message names it.

    Example:
        >>> read_text("kitchen.txt")
        'A small kitchen.\n'
    """
    if file_size(path) > MAX_TEXT:
        raise InputError(f"{path} has more than {MAX_TEXT // 10**6} MB: that is no text file")
    try:
        with reading(path):
            return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a UTF-8 text file: {error}") from error


def read_lines(path: str | os.PathLike) -> list[str]:
    """The lines of a UTF-8 file that are not blank, without blanks around them; only line ends part them.

    Raises:
        InputError: see `read_text`.
    """
    # str.splitlines would also cut inside a line, at form feeds and Unicode's own separators.
    return [line.strip() for line in read_text(path).split("\n") if line.strip()]


def read_json(path: Path, largest: int = 2**20) -> Any:
    """The content of a JSON file, by the letter: without NaN, infinities and names that stand twice.

    Args:
        path: a regular file.
        largest: bytes that it may have. Default: one MiB.

    Raises:
        InputError: it is missing, no regular file, too large or not JSON; the message names it.
    """
    with reading(path):
        size = path.stat().st_size
    if not path.is_file():
        raise InputError(f"{path} is not a file")
    if size > largest:
        raise InputError(f"{path} has {size} bytes; such files have {largest} at most")

    def refuse(word: str) -> float:
        raise ValueError(f"{word} is no number of JSON's")

    def finite(word: str) -> float:
        return float(word) if abs(float(word)) < float("inf") else refuse(word[:20])

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a name stands twice in an object")
        return found

    text = read_text(path)
    try:
        return json.loads(text, parse_constant=refuse, parse_float=finite, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}") from error


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in 64 digits."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            total.update(chunk)
    return total.hexdigest()


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Writes a file whole or not at all.

    Args:
        path: the file; its folder exists.
        write: writes to the path that it is given, which has the file's extension, and is renamed afterwards.

    Returns:
        The file.

    Raises:
        OSError: the system refuses it, as on a full disk; it names the file.
    """
    partial = path.with_name(f".partial-{socket.gethostname()}-{os.getpid()}-{next(_NUMBERS)}{path.suffix}")
    try:
        write(partial)
        os.replace(partial, path)
    except OSError as error:
        raise OSError(error.errno or errno.EIO, error.strerror or str(error), str(path)) from error
    finally:
        partial.unlink(missing_ok=True)
    return path


def sweep(folder: Path, alone: bool = False) -> None:
    """Removes what writers that were killed left half written in a folder.

    Args:
        folder: not those below it.
        alone: whether nobody else can be writing there. Default: False, files of other machines and of running
            processes stay.
    """
    for path in folder.iterdir():
        found = _PARTIAL.fullmatch(path.name)
        if found and (alone or (found["host"] == socket.gethostname() and not _is_running(int(found["process"])))):
            path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
