"""The sentences that models are evaluated with, as tables, files and templates have them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from tr2m_plugin.benchmark.datasets import Dataset
from tr2m_plugin.datasets.parquet import read_rows
from tr2m_plugin.datasets.pictures import find_sentence, read_sentence
from tr2m_plugin.description.pictures import PICTURES
from tr2m_plugin.description.rsa import read_sentences, rsa_file
from tr2m_plugin.description.templates import colon_fallback
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import IndexRow, SentenceRow


def find_texts(datasets: Sequence[Dataset], tables: Sequence[Path] = (), text: str | None = None) -> dict[str, str]:
    """A sentence for every picture by its key.

    Args:
        datasets: whose pictures.
        tables: Parquet files of descriptions, that of `tr2m describe` among them, whose pictures are known by their
            paths; or RSA's folder `text`; of several, the first that has a picture's. The protocol says of which source
            the first sentence is taken. Default: none. Pictures of a folder of one's own that they lack have it in a
            text file beside them (see `find_sentence`).
        text: for pictures without one. Default: the colon templates for C3VD and SimCol3D, none for others.

    Raises:
        InputError: pictures have none; the message counts them and names the first.
    """
    wanted = {row.key: (row, data) for data in datasets for row in data.rows}
    texts: dict[str, str] = {}
    for path in tables:
        found = _rsa_texts(path, wanted) if path.is_dir() else _table_texts(path, wanted)
        texts = {**found, **texts}
    for key, (row, _) in wanted.items():
        if key not in texts and not row.reader and find_sentence(Path(row.image), row.sample_id):
            texts[key] = read_sentence(Path(row.image), row.sample_id)
        elif key not in texts and text:
            texts[key] = text
        elif key not in texts and (lines := colon_fallback(row)):
            texts[key] = lines[0].text
    missing = [key for key in wanted if key not in texts]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(wanted)} pictures have no description, such as {missing[0]}: give tables or RSA's "
            "folder with --text-tables, or one sentence with --text"
        )
    return texts


def _rsa_texts(folder: Path, wanted: Mapping[str, tuple[IndexRow, Dataset]]) -> dict[str, str]:
    found = {}
    for key, (row, _) in wanted.items():
        path = rsa_file(folder, row)
        if path.is_file():
            lines = read_sentences(path)
            if not lines or not lines[0].strip():
                raise InputError(f"{path} has no sentence in its first line")
            found[key] = lines[0]
    return found


def _table_texts(path: Path, wanted: Mapping[str, tuple[IndexRow, Dataset]]) -> dict[str, str]:
    found: dict[str, str] = {}
    sources: dict[str, str] = {}
    lines = read_rows(path, SentenceRow)
    described = _described({line.sample_id for line in lines if line.dataset == PICTURES}, wanted)
    for line in lines:
        key = described.get(line.sample_id, "") if line.dataset == PICTURES else line.key
        if key not in wanted:
            continue
        source = wanted[key][1].protocol.description
        if key not in found or (line.source == source != sources[key]):
            found[key], sources[key] = line.text, line.source
    return found


def _described(names: Collection[str], wanted: Mapping[str, tuple[IndexRow, Dataset]]) -> dict[str, str]:
    """The keys of pictures by the names that `tr2m describe` gave them: paths below its folders, without extension.

    A folder is one that together with names makes paths of pictures, those that explain the most names first; where
    pictures are no files, names are sample ids.
    """
    paths = {os.path.splitext(row.image)[0]: key for key, (row, _) in wanted.items()}
    parts = {path: path.split("/") for path in paths}
    folders = Counter(
        "/".join(split[:-count])
        for path, split in parts.items()
        for count in range(1, len(split))
        if "/".join(split[-count:]) in names
    )
    found: dict[str, str] = {}
    for folder, _ in folders.most_common():
        for name in names:
            if f"{folder}/{name}" in paths:
                found.setdefault(name, paths[f"{folder}/{name}"])
    samples = {row.sample_id: key for key, (row, _) in wanted.items()}
    return {**{name: samples[name] for name in names if name in samples}, **found}
