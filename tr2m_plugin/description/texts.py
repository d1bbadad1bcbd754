"""Sentences that people wrote: in a file per picture, or one for all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tr2m_plugin.datasets.pictures import cut_sentence, find_sentence
from tr2m_plugin.description.describers import Describer, numbered
from tr2m_plugin.errors import InputError
from tr2m_plugin.files import read_lines
from tr2m_plugin.rows import DescriptionRow, IndexRow


class TextFiles(Describer):
    """Takes sentences from text files, one sentence per line.

    Args:
        folder: holds the text files.
        pattern: their names with one `*` for the sample id. Default: "*.txt". A picture without such a file may have
            one beside it, as `find_sentence` finds it.

    Raises:
        InputError: the folder is none.
    """

    def __init__(self, folder: str, pattern: str = "*.txt") -> None:
        self.folder, self.pattern = Path(os.path.expanduser(folder)), pattern
        if not self.folder.is_dir():
            raise InputError(f"{self.folder} is not a folder")

    def describe(self, rows: Sequence[IndexRow], images: Sequence[np.ndarray] = ()) -> list[DescriptionRow]:
        """Gives the lines of each picture's file that are not blank; rows need `image` too."""
        return [line for row in rows for line in numbered(row, "text_file", self._sentences(row))]

    def _sentences(self, row: IndexRow) -> list[str]:
        path = self.folder / self.pattern.replace("*", row.sample_id)
        found = path if os.path.lexists(path) else None
        if found is None and row.image:
            found = find_sentence(Path(row.image), row.sample_id)
        if found is None:
            raise InputError(f"{path} does not exist: every picture needs a text file, or give one sentence for all")
        lines = read_lines(found)
        if not lines:
            raise InputError(f"{found} holds no text: write one sentence per line")
        return [cut_sentence(line, str(found)) for line in lines]


class Sentence(Describer):
    """Gives every picture the same sentence.

    Args:
        text: the sentence.

    Raises:
        InputError: the sentence is blank.
    """

    def __init__(self, text: str) -> None:
        if not text.strip():
            raise InputError("describe: the sentence is empty")
        self.text = text.strip()

    def describe(self, rows: Sequence[IndexRow], images: Sequence[np.ndarray] = ()) -> list[DescriptionRow]:
        """Gives the sentence once per picture."""
        return [line for row in rows for line in numbered(row, "sentence", [self.text])]
