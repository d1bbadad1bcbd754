"""Finding and reading the files of published datasets: folders, split files, stored numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from tr2m_plugin.datasets.arrays import read_stored
from tr2m_plugin.errors import InputError, require
from tr2m_plugin.files import read_text, reading
from tr2m_plugin.folders import clutter


def find_first(folder: Path, candidates: Sequence[str], what: str, given: str | None = None) -> Path:
    """The first of some relative paths that is there.

    Args:
        folder: that they are relative to.
        candidates: the paths.
        what: they are, for the message.
        given: a path that stands for all of them, relative to the folder or absolute. Default: none.

    Raises:
        InputError: none is, and the message names them all; or one cannot be read.
    """
    if given is not None:
        candidates = [str(Path(given).expanduser())]
    with reading(folder):
        for candidate in candidates:
            if (folder / candidate).exists():
                return folder / candidate
    raise InputError(f"{folder} has no {what}: looked for {', '.join(candidates)}")


def find_list(folder: Path, names: Sequence[str], given: str | None = None) -> Path | None:
    """A split file by its usual names, in the root or in a folder of lists below it.

    Args:
        folder: the root.
        names: names of the file.
        given: a path that takes precedence, relative to the root or absolute. Default: none.

    Raises:
        InputError: the given file does not exist, or the system refuses to look for one.
    """
    with reading(folder):
        if given is not None:
            path = folder / Path(given).expanduser()
            if not path.is_file():
                raise InputError(f"{path} does not exist")
            return path
        places = (folder, *(folder / below for below in ("splits", "data_splits", "train_test_inputs", "lists")))
        return next((place / name for place in places for name in names if (place / name).is_file()), None)


def find_all(folder: Path, pattern: str) -> list[Path]:
    """What is below a folder by a pattern, sorted; nothing where the folder is not there.

    What systems and programs put beside data is passed over, such as `._0001.png`: see `clutter`. `Path.glob` would
    pass over folders that it must not read.

    Raises:
        InputError: a folder cannot be read; the message names it.
    """
    found = [folder]
    with reading(folder):
        for part in pattern.split("/"):
            inside = (path for above in found if above.is_dir() for path in above.iterdir())
            found = [path for path in inside if fnmatchcase(path.name, part) and not clutter(path.name)]
    return sorted(found)


def read_fields(path: Path, count: int) -> Iterator[list[str]]:
    """The fields of every line of a split file, separated by blanks; empty lines are passed over.

    A leading slash of a path is not dropped here: see `below`.

    Raises:
        InputError: the file cannot be read or is not UTF-8, or a line has fewer fields; the message names file and
            line.
    """
    for number, line in enumerate(read_text(path).split("\n"), 1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) < count:
            raise InputError(f"{path}, line {number}: {line!r} has {len(fields)} fields, not {count}")
        yield fields


def focal_length(text: str, path: Path) -> float:
    """The third field of a line of BTS's lists, in pixels.

    Raises:
        InputError: it is no number; the message names the file.
    """
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"{path}: {text!r} is no focal length; lines must be picture, depth, focal length") from error


def find_numbered(folder: Path, pattern: str) -> dict[int, Path]:
    """The files of a folder whose names match a pattern, in the order of the number that is its group, by number.

    Raises:
        InputError: the folder cannot be read.
    """
    found = ((re.fullmatch(pattern, path.name), path) for path in find_all(folder, "*"))
    return dict(sorted((int(match[1]), path) for match, path in found if match))


def below(folder: Path, path: str) -> Path:
    """A listed path below a folder; lists write some of them with a leading slash."""
    return folder / path.lstrip("/")


def load_mat(path: Path | str, name: str) -> np.ndarray:
    """A variable of a MATLAB 5 file; MATLAB 7.3 files are HDF5.

    Raises:
        InputError: the file is missing or another, or has no such variable; the message names it.
    """
    scipy_io = require("scipy.io", "to read MATLAB files", "data")
    try:
        content = scipy_io.loadmat(path)
    except Exception as error:  # what a broken file makes of a decoder is anybody's guess
        raise InputError(f"{path} is not a readable MATLAB 5 file: {error}") from error
    if name not in content:
        raise InputError(f"{path} has no variable {name}, only {', '.join(k for k in content if k[0] != '_')}")
    return content[name]


Kinds = type[np.generic] | tuple[type[np.generic], ...]


def stored_as(source: str, kinds: Kinds, size: Sequence[int] | None = None) -> np.ndarray:
    """A depth file's numbers, (H, W), which must be of a type and the size that the dataset is published in.

    Raises:
        InputError: they are not; the message names the file, what was expected and what was found.
    """
    stored = read_stored(source)
    check_stored(stored, source, kinds, size)
    return stored


def check_stored(stored: np.ndarray, source: str, kinds: Kinds, size: Sequence[int] | None = None) -> None:
    """Raises an InputError that names the file when an array has another type or size than promised."""
    types = [np.dtype(kind) for kind in (kinds if isinstance(kinds, tuple) else (kinds,))]
    if stored.dtype not in types or (size is not None and stored.shape != tuple(size)):
        names = " or ".join(map(str, types))
        wanted = names if size is None else f"{size[0]} × {size[1]} {names}"
        found = " × ".join(str(side) for side in stored.shape)
        raise InputError(f"{source} should be {wanted} and is {found} {stored.dtype}: is it the published file?")
