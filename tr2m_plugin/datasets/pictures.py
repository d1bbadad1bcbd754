"""Which files are pictures, what they are called, and the sentences beside them."""

from __future__ import annotations

import itertools
import json
import os
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from tr2m_plugin.datasets.decoding import hint_of
from tr2m_plugin.datasets.headers import read_header
from tr2m_plugin.datasets.heif import AVIF_SUFFIXES, HEIC_SUFFIXES
from tr2m_plugin.errors import InputError
from tr2m_plugin.files import read_lines, read_text
from tr2m_plugin.folders import count_reasons, walk
from tr2m_plugin.warn import warn_once

Picture = str | os.PathLike | np.ndarray

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".png", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".gif"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".apng", *HEIC_SUFFIXES, *AVIF_SUFFIXES),
)
DEEP_SUFFIXES = (".png", ".tif", ".tiff", ".pgm", ".pnm", ".jp2")
"""Suffixes of files that may hold depth maps."""

PREDICTION, PREDICTED = "tr2m prediction", ("_color", "_depth", "_confidence")
"""The `format` of the JSON file beside a prediction, and how the names of its pictures end."""

PAIRED = ("_rgb", "_color")
"""How names of pictures may end that lie beside their depth."""

MAX_SENTENCE = 2000
"""Characters; a text encoder sees the first 77 tokens."""


def list_pictures(source: str | os.PathLike, skip: str | os.PathLike | None = None) -> list[Path]:
    """The file itself, or every picture of a folder and the folders below it, sorted.

    Links are followed, and every file comes once. What is left out of a folder is counted in a warning, by reason:
    what systems put beside data, depth maps (more than 8 bits in one channel), videos, formats that are not read,
    predictions of `tr2m predict`, and other kinds of files; but not text files, which may hold the sentences.

    Args:
        source: a file or a folder.
        skip: a folder below it whose pictures are left out, such as the one that predictions go to. Default: none.

    Raises:
        InputError: there is none.
    """
    path = Path(source)
    if os.path.isfile(path):
        return [path]
    if not os.path.isdir(path):
        raise InputError(f"{path} is neither a picture nor a folder")
    passed_over = None if skip is None else Path(skip).resolve()
    if passed_over is not None and path.resolve() not in passed_over.parents:
        passed_over = None
    reasons: Counter[str] = Counter()
    found: dict[Path, Path] = {}
    for file, reason in walk(path):
        real = Path(os.path.realpath(file))  # `resolve` raises at a loop of links
        if passed_over is not None and passed_over in (real, *real.parents):
            continue
        reason = reason or _kind(file)
        if reason is None and found.setdefault(real, file) != file:
            reason = "links to files that are there already"
            if found[real].is_symlink() and not file.is_symlink():
                found[real] = file
        if reason:
            reasons[reason] += 1
    if not found:
        counted = f"; left out: {count_reasons(reasons)}" if reasons else ""
        raise InputError(f"{path} holds no picture ({', '.join(IMAGE_SUFFIXES)}){counted}")
    if reasons:
        warn_once(f"{path}: {len(found)} pictures; left out: {count_reasons(reasons)}")
    return sorted(found.values())


def _kind(file: Path) -> str | None:
    """Why a regular file of a folder is left out; None of a picture, and "" of a text file, without a word."""
    suffix, hint = file.suffix.lower(), hint_of(file.name)
    if hint or suffix not in (*IMAGE_SUFFIXES, ""):
        return "" if suffix == ".txt" else f"{suffix} ({hint})" if hint else "of other kinds"
    if is_prediction(file):
        return "predictions of tr2m"
    try:
        header = read_header(file) if suffix in (*DEEP_SUFFIXES, "") else None
    except InputError:  # which reading it will say
        return None
    if header is None and not suffix:
        return "of other kinds"
    return "depth maps? (more than 8 bits in one channel)" if header is not None and header.deep else None


def is_prediction(path: Path) -> bool:
    """Whether `tr2m predict` wrote a picture: it is `NAME_color.png` or `NAME_depth.png`, and `NAME.json` says so."""
    ending = next((ending for ending in PREDICTED if path.stem.endswith(ending)), None)
    beside = path.with_name(f"{path.stem.removesuffix(ending or '')}.json")
    if ending is None or not os.path.isfile(beside):
        return False
    try:
        facts = json.loads(read_text(beside))
    except (InputError, ValueError, RecursionError):
        return False
    return isinstance(facts, dict) and facts.get("format") == PREDICTION


def printable(name: str) -> str:
    """A name that can be printed, written and be a file's: without control characters and what is not UTF-8."""
    return "".join(character if character.isprintable() else "_" for character in name)


def free_name(name: str, taken: Collection[str]) -> str:
    """The name, with a number behind it where it is taken."""
    free = (f"{name}_{i}" if i > 1 else name for i in itertools.count(1))
    return next(candidate for candidate in free if candidate not in taken)


def name_pictures(
    inputs: Picture | Sequence[Picture], skip: str | os.PathLike | None = None
) -> list[tuple[str, Path | np.ndarray]]:
    """Every picture of the inputs with the name its files get.

    A picture of a folder is named by its path below the folder, any other file by its own name, an array by its
    number, all without extension and with `_` for what cannot be printed; a name that is taken gets a number.

    Args:
        inputs: a picture, a folder, an array, or several of them.
        skip: see `list_pictures`.

    Raises:
        InputError: a file or folder holds no picture.
    """
    named: dict[str, Path | np.ndarray] = {}

    def add(name: str, picture: Path | np.ndarray) -> None:
        named[free_name(name, named)] = picture

    listed = [inputs] if isinstance(inputs, (str, os.PathLike, np.ndarray)) else inputs
    for number, source in enumerate(listed):
        if isinstance(source, np.ndarray):
            add(str(number), source)
            continue
        root = Path(source) if os.path.isdir(source) else Path(source).parent
        for path in list_pictures(source, skip):
            add(printable(path.relative_to(root).with_suffix("").as_posix()), path)
    return list(named.items())


def find_sentence(picture: Path, sample_id: str | None = None) -> Path | None:
    """The text file beside a picture that holds its sentence; None where there is none.

    It is called like the picture (`desk_rgb.txt`), or like its sample id (`desk.txt`): where none is given, like the
    picture without `_rgb` or `_color` at the end.

    Args:
        picture: its file.
        sample_id: sample id, of which the last part counts. Default: none.
    """
    short = next((picture.stem.removesuffix(end) for end in PAIRED if picture.stem.endswith(end)), None)
    short = short if sample_id is None else sample_id.rpartition("/")[2]
    candidates = (picture.with_name(f"{stem}.txt") for stem in (picture.stem, short) if stem)
    return next((path for path in candidates if os.path.lexists(path)), None)


def read_sentence(picture: Path, sample_id: str | None = None) -> str:
    """The sentence in the text file beside a picture (see `find_sentence`); its first line that is not blank.

    Raises:
        InputError: there is no such file, no text in it, no letter in that line, or it cannot be read.
    """
    path = find_sentence(picture, sample_id)
    if path is None:
        own = picture.with_suffix(".txt").name
        raise InputError(f"{picture} has no description: give a text, or write one into {own} beside it")
    lines = read_lines(path)
    if not lines:
        raise InputError(f"{path} holds no text")
    if not any(map(str.isalpha, lines[0])):  # boxes or poses, as programs put them beside pictures
        raise InputError(f"{path} begins with {lines[0][:60]!r}, which is no sentence: give a text, or move it away")
    return cut_sentence(lines[0], str(path))


def cut_sentence(text: str, where: str) -> str:
    """A sentence of at most 2,000 characters, with a warning when it was longer.

    Args:
        text: the sentence.
        where: it comes from, for the warning.
    """
    if len(text) <= MAX_SENTENCE:
        return text
    warn_once(f"{where} holds a sentence of {len(text):,} characters: the first {MAX_SENTENCE:,} are taken")
    return " ".join(text.split())[:MAX_SENTENCE].rstrip()
