"""Stage `describe`: sentences about every picture."""

from __future__ import annotations

import os
import zlib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.mini_world.captions import colon_sentences, scene_sentences, toy_labels
from pipelines.params import Stage, run_stage
from tr2m_plugin.datasets.tables import (
    DESCRIPTIONS,
    INDEX,
    OBJECTS,
    SCENES,
    read_table,
    sample_key,
    write_table,
)
from tr2m_plugin.description.object_list import object_sentences
from tr2m_plugin.errors import InputError

Sentences = Iterable[tuple[str, int, str]]
"""Source, variant and text."""


class SceneGraph:
    """Describes rendered pictures from their scene graph: place sentences, object lists, colon templates.

    Args:
        root: the profile's folder.
        objects: object lists per picture. Default: 1.
        seed: of the choice of words. Default: 0.
    """

    def __init__(self, root: Path, objects: int = 1, seed: int = 0) -> None:
        self.objects, self.seed = objects, seed
        self._scenes = {sample_key(row): row for row in read_table(root / "world" / "scenes.parquet", SCENES)}
        self._labels: dict[str, list[str]] = defaultdict(list)
        for row in read_table(root / "world" / "objects.parquet", OBJECTS):
            self._labels[sample_key(row)].append(row["label"])

    def describe(self, row: dict[str, Any]) -> Sentences:
        """Sentences about one picture."""
        key = sample_key(row)
        if key not in self._scenes:
            raise InputError(f"{key} has no scene graph: SceneGraph describes the miniature world only")
        scene = self._scenes[key]
        if row["domain"] == "surgical":
            return [("template", i, text) for i, text in enumerate(colon_sentences(scene["place"], scene["detail"]))]
        seed = zlib.crc32(key.encode())
        rng = np.random.default_rng([self.seed, seed])
        labels = self._labels[key]
        places = scene_sentences(
            scene["place"],
            scene["extent"],
            labels,
            rng,
            indoor=scene["indoor"],
            scale=scene["scale"],
            diorama=row["dataset"] == "diorama",
        )
        listed = labels if scene["scale"] == 1 else toy_labels(labels, rng)
        lists = object_sentences(listed, self.objects, seed + self.seed)
        return [
            *(("scene", i, text) for i, text in enumerate(places)),
            *(("objects", i, text) for i, text in enumerate(lists)),
        ]


class TextFiles:
    """Takes sentences from text files beside the pictures, one sentence per line.

    Args:
        root: the profile's folder.
        folder: holds the text files.
        pattern: their names with one `*` for the sample id. Default: "*.txt".
    """

    def __init__(self, root: Path, folder: str, pattern: str = "*.txt") -> None:
        self.folder, self.pattern = Path(os.path.expanduser(folder)), pattern
        if not self.folder.is_dir():
            raise InputError(f"{self.folder} is not a folder")

    def describe(self, row: dict[str, Any]) -> Sentences:
        """The file's lines that are not blank."""
        path = self.folder / self.pattern.replace("*", row["sample_id"])
        if not path.is_file():
            raise InputError(f"{path} does not exist: every picture needs a text file, or give one sentence for all")
        try:
            lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not a UTF-8 text file: {error}") from error
        lines = [line for line in lines if line]
        if not lines:
            raise InputError(f"{path} holds no text: write one sentence per line")
        return [("text_file", i, text) for i, text in enumerate(lines)]


class Sentence:
    """Gives every picture the same sentence.

    Args:
        root: the profile's folder.
        text: the sentence.
    """

    def __init__(self, root: Path, text: str) -> None:
        if not text.strip():
            raise InputError("describe: the sentence is empty")
        self.text = text.strip()

    def describe(self, row: dict[str, Any]) -> Sentences:
        """The sentence."""
        return [("sentence", 0, self.text)]


DESCRIBERS = {"SceneGraph": SceneGraph, "TextFiles": TextFiles, "Sentence": Sentence}
"""Describers by type; each takes the profile's folder and its options."""


def stage(run: Stage) -> None:
    """Describes every picture with every describer that its dataset names, or with the default ones."""
    rows = read_table(run.root / "index.parquet", INDEX)
    out: list[dict[str, Any]] = []
    for entry in run.params.get("describers") or []:
        options = dict(entry)
        kind, datasets = options.pop("type", None), options.pop("datasets", None)
        if kind not in DESCRIBERS:
            raise InputError(f"describe.describers: type must be one of {', '.join(DESCRIBERS)}, not {kind!r}")
        try:
            describer = DESCRIBERS[kind](run.root, **options)
        except TypeError as error:
            raise InputError(f"{kind}: {error}") from error
        for row in rows:
            if datasets and row["dataset"] not in datasets:
                continue
            key = {"dataset": row["dataset"], "sample_id": row["sample_id"]}
            seed = options.get("seed", 0)
            for source, variant, text in describer.describe(row):
                out.append({**key, "source": source, "variant": variant, "text": text, "model": kind, "seed": seed})
    described = {sample_key(row) for row in out}
    missing = [sample_key(row) for row in rows if sample_key(row) not in described]
    if missing:
        raise InputError(f"{len(missing)} of {len(rows)} pictures have no description, such as {missing[0]}")
    write_table(run.root / "descriptions.parquet", DESCRIPTIONS, out)
    print(f"describe: {len(out)} sentences for {len(rows)} pictures")


if __name__ == "__main__":
    run_stage("describe", __doc__, stage)
