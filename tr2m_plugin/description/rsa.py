"""The captions and object lists that RSA published, read and written as they are (Adonis-galaxy/RSA, folder text).

`text_all/DATASET/SPLIT/SAMPLE.txt` holds fifteen sentences: five of LLaVA v1.6 Mistral, five of Vicuna and five object
lists. `seg_txt_panoptic/DATASET/SPLIT/SAMPLE.txt` holds a label and an area on each line, for every object that
MaskDINO found.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tr2m_plugin.description.describers import Describer
from tr2m_plugin.description.prompts import PROMPTS
from tr2m_plugin.errors import InputError
from tr2m_plugin.files import read_text
from tr2m_plugin.rows import DescriptionRow, IndexRow, ObjectRow

if TYPE_CHECKING:
    import numpy as np

TEXTS, LISTS = "text_all", "seg_txt_panoptic"
LINES = 15
SOURCES = ("llava-mistral", "llava-vicuna", "object list")
"""What five lines each come from, in their order."""


@dataclass(frozen=True, kw_only=True)
class RSASentence(DescriptionRow):
    """A sentence of RSA's files.

    Attributes:
        split: whose folder it lies in.
    """

    split: str


@dataclass(frozen=True, kw_only=True)
class RSAObject(ObjectRow):
    """An object of RSA's lists.

    Attributes:
        split: whose folder it lies in.
    """

    split: str


def rsa_line(number: int) -> dict[str, Any]:
    """What is known of a file's line, counted from 0: source, variant, model and prompt.

    Which prompt a line answers is not documented; the order of the prompts in the paper's Figure 6 fits the texts.
    """
    maker = SOURCES[number // 5]
    prompt = None if maker == "object list" else PROMPTS[number % 5]
    return {"source": "rsa", "variant": number, "model": maker, "prompt": prompt}


def read_sentences(path: Path) -> list[str]:
    """A text file's lines, blank ones too, since their number tells who wrote them.

    Raises:
        InputError: it is missing, cannot be read or is not UTF-8.
    """
    lines = read_text(path).split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def rsa_file(folder: Path, row: IndexRow) -> Path:
    """Finds the file of a picture's sentences; what is not trained on is all in RSA's split `test`.

    Args:
        folder: RSA's folder `text`, or the folder `text_all` in it.
        row: a row of the index, of which `dataset`, `split` and `sample_id` are read.
    """
    base = folder / TEXTS if (folder / TEXTS).is_dir() else folder
    split = "train" if row.split == "train" else "test"
    return base / row.dataset / split / f"{row.sample_id}.txt"


class RSA(Describer):
    """Gives RSA's published sentences, fifteen for each picture of NYUv2, KITTI and VOID.

    Args:
        folder: RSA's folder `text`, which holds `text_all`.

    Raises:
        InputError: the folder is null or holds no `text_all`.
    """

    def __init__(self, folder: str | None) -> None:
        if folder is None:
            raise InputError(
                "describe: RSA has no `folder`: give RSA's folder `text`, or let captioners describe these"
            )
        self.folder = Path(os.path.expanduser(folder))
        if not (self.folder / TEXTS).is_dir():
            raise InputError(f"{self.folder / TEXTS} is not a folder: give RSA's folder `text`")

    def describe(self, rows: Sequence[IndexRow], images: Sequence[np.ndarray] = ()) -> list[DescriptionRow]:
        """Gives the lines of each picture's file; rows need `split` too."""
        return [line for row in rows for line in self._lines(row)]

    def _lines(self, row: IndexRow) -> list[DescriptionRow]:
        lines = enumerate(read_sentences(rsa_file(self.folder, row)))
        return [
            DescriptionRow(dataset=row.dataset, sample_id=row.sample_id, text=text, **rsa_line(number))
            for number, text in lines
        ]


def _files(folder: str | os.PathLike, kind: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    root = Path(folder)
    base = root / kind if (root / kind).is_dir() else root
    if base.name != kind:
        raise InputError(f"{root} has no folder {kind}: give RSA's folder `text`")
    found = False
    for where, folders, names in os.walk(base):
        folders.sort()
        parts = Path(where).relative_to(base).parts
        for name in sorted(names):
            if name.endswith(".txt") and len(parts) >= 2:
                found = True
                sample = "/".join((*parts[2:], name.removesuffix(".txt")))
                yield Path(where, name), {"dataset": parts[0], "split": parts[1], "sample_id": sample}
    if not found:
        raise InputError(f"{base} holds no DATASET/SPLIT/SAMPLE.txt")


def read_rsa(folder: str | os.PathLike) -> Iterator[RSASentence]:
    """Sentences, one file after another.

    Args:
        folder: which holds `text_all`.

    Raises:
        InputError: the folder holds no such files, or one has not fifteen lines; the message names it.
    """
    for path, key in _files(folder, TEXTS):
        lines = read_sentences(path)
        if len(lines) != LINES:
            raise InputError(f"{path} has {len(lines)} lines, not {LINES}: RSA's have five sentences of each source")
        for number, text in enumerate(lines):
            yield RSASentence(**key, **rsa_line(number), text=text)


def read_rsa_objects(folder: str | os.PathLike) -> Iterator[RSAObject]:
    """Objects, one file after another; a file without objects gives one row without a label.

    Args:
        folder: which holds `seg_txt_panoptic`.

    Raises:
        InputError: the folder holds no such files, or a line is no label and area; the message names the file.
    """
    for path, key in _files(folder, LISTS):
        lines = read_sentences(path)
        for number, line in enumerate(lines, 1):
            label, _, area = line.rpartition(" ")
            try:
                yield RSAObject(**key, label=label, area=float(area))
            except ValueError as error:
                raise InputError(f"{path}, line {number}: {line!r} is no label and area") from error
        if not lines:
            yield RSAObject(**key, label=None, area=None)


def write_rsa(folder: str | os.PathLike, rows: Iterable[RSASentence] | Iterable[RSAObject]) -> int:
    """Writes rows of either kind as RSA's files, byte for byte as they were read.

    Args:
        folder: to write `text_all` or `seg_txt_panoptic` into.
        rows: rows as `read_rsa` or `read_rsa_objects` give them, a picture's after each other.

    Returns:
        The number of files.
    """
    lines: dict[Path, list[str]] = defaultdict(list)
    written: set[Path] = set()

    def flush() -> None:
        for path, content in lines.items():
            if path in written:
                raise InputError(f"rows of {path} do not follow each other: sort them by picture")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes("".join(f"{line}\n" for line in content).encode())
            written.add(path)
        lines.clear()

    for row in rows:
        kind = TEXTS if isinstance(row, RSASentence) else LISTS
        path = Path(folder, kind, row.dataset, row.split, f"{row.sample_id}.txt")
        if path not in lines:
            flush()
        content = lines[path]
        if isinstance(row, RSASentence):
            content.append(row.text)
        elif row.label is not None:
            content.append(f"{row.label} {row.area!r}")
    flush()
    return len(written)
