"""Stage `describe`: sentences about every picture, by those who look at none and, as Ray jobs, by networks."""

from __future__ import annotations

import os
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.mini_world.captions import colon_sentences, scene_sentences, toy_labels
from pipelines.networks import weights_digest
from pipelines.params import Stage, run_stage
from pipelines.relative_depth import picture_stamp
from pipelines.sharded import remove_others, run_sharded
from pipelines.shards import settings_of
from tr2m_plugin.datasets.parquet import (
    DESCRIPTIONS,
    INDEX,
    OBJECTS,
    SCENES,
    dataset_names,
    read_table,
    resolve,
    sample_key,
    write_table,
)
from tr2m_plugin.datasets.pictures import cut_sentence, find_sentence
from tr2m_plugin.datasets.readers import load_picture
from tr2m_plugin.description import ColonTemplate
from tr2m_plugin.description.describers import make_describer
from tr2m_plugin.description.object_list import object_sentences
from tr2m_plugin.description.rsa import read_sentences, rsa_line
from tr2m_plugin.errors import InputError
from tr2m_plugin.files import read_lines

Sentences = list[dict[str, Any]]
"""Rows of the table of descriptions, without the picture that they are about."""


def numbered(source: str, texts: Iterable[str]) -> Sentences:
    """Sentences of one source, counted from 0."""
    return [{"source": source, "variant": number, "text": text} for number, text in enumerate(texts)]


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
            return numbered("template", colon_sentences(scene["place"], scene["detail"]))
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
        return numbered("scene", places) + numbered("objects", lists)


class TextFiles:
    """Takes sentences from text files, one sentence per line.

    Args:
        root: the profile's folder.
        folder: holds the text files.
        pattern: their names with one `*` for the sample id. Default: "*.txt". A picture without such a file may have
            one beside it, as `find_sentence` finds it.
    """

    def __init__(self, root: Path, folder: str, pattern: str = "*.txt") -> None:
        self.folder, self.pattern = Path(os.path.expanduser(folder)), pattern
        if not self.folder.is_dir():
            raise InputError(f"{self.folder} is not a folder")

    def describe(self, row: dict[str, Any]) -> Sentences:
        """The file's lines that are not blank."""
        path = self.folder / self.pattern.replace("*", row["sample_id"])
        found = path if os.path.lexists(path) else None
        if found is None and row["image"]:
            found = find_sentence(Path(row["image"]), row["sample_id"])
        if found is None:
            raise InputError(f"{path} does not exist: every picture needs a text file, or give one sentence for all")
        lines = read_lines(found)
        if not lines:
            raise InputError(f"{found} holds no text: write one sentence per line")
        return numbered("text_file", [cut_sentence(line, str(found)) for line in lines])


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
        return numbered("sentence", [self.text])


class ColonTemplates:
    """The paper's template for frames of colonoscopy, by the name of their sequence.

    Args:
        root: the profile's folder.
        dataset: see `tr2m_plugin.description.ColonTemplate`. Default: c3vd.
    """

    def __init__(self, root: Path, dataset: str = "c3vd") -> None:
        self.template = ColonTemplate(dataset)

    def describe(self, row: dict[str, Any]) -> Sentences:
        """The sentence."""
        return self.template.describe([None], [row["sample_id"]])


class RSA:
    """RSA's published sentences, fifteen for each picture of NYUv2, KITTI and VOID.

    Args:
        root: the profile's folder.
        folder: RSA's folder `text`, which holds `text_all`.
    """

    def __init__(self, root: Path, folder: str | None) -> None:
        if folder is None:
            raise InputError(
                "describe: RSA has no `folder`: give RSA's folder `text`, or let captioners describe these"
            )
        self.folder = Path(os.path.expanduser(folder)) / "text_all"
        if not self.folder.is_dir():
            raise InputError(f"{self.folder} is not a folder: give RSA's folder `text`")

    def describe(self, row: dict[str, Any]) -> Sentences:
        """The file's lines."""
        split = "train" if row["split"] == "train" else "test"
        path = self.folder / row["dataset"] / split / f"{row['sample_id']}.txt"
        return [{**rsa_line(number), "text": text} for number, text in enumerate(read_sentences(path))]


DESCRIBERS = {
    "SceneGraph": SceneGraph,
    "TextFiles": TextFiles,
    "Sentence": Sentence,
    "ColonTemplate": ColonTemplates,
    "RSA": RSA,
}
"""Describers that look at no picture, by type; each takes the profile's folder and its options."""

CAPTIONERS = ("Llava",)
"""Describers that do, by type; see `tr2m_plugin.description.describers.make_describer`."""


class PictureProcessor:
    """A network that looks at pictures, in a worker.

    Args:
        kind: its type, for `make_describer`.
        options: of the network.
        root: folder that the index's references are relative to.
        device: torch device.
    """

    def __init__(self, kind: str, options: dict[str, Any], root: str, device: str) -> None:
        self.network = make_describer(kind, options, device)
        self.root = Path(root)

    def load(self, row: dict[str, Any]) -> tuple[dict[str, Any], np.ndarray]:
        """A row and its picture, (H, W, 3) uint8 RGB."""
        return row, load_picture(resolve(row, self.root))


class DescribeProcessor(PictureProcessor):
    """Pictures in, rows of the table of descriptions out."""

    def compute(self, items: list[tuple[dict[str, Any], np.ndarray]]) -> list[list[dict[str, Any]]]:
        """The rows of each picture."""
        made: dict[str, list[dict[str, Any]]] = {sample_key(row): [] for row, _ in items}
        for line in self.network.describe([image for _, image in items], list(made)):
            made[line["sample_id"]].append(line)
        return [
            [{**line, "dataset": row["dataset"], "sample_id": row["sample_id"]} for line in made[sample_key(row)]]
            for row, _ in items
        ]


def run_network(
    make_processor: Callable[..., PictureProcessor], columns: Mapping[str, str], run: Stage, folder: Path
) -> None:
    """Runs a section's network on every picture of its datasets, as a resumable Ray job.

    Args:
        make_processor: `DescribeProcessor` or one like it.
        columns: of the table whose rows it makes.
        run: whose params are the network's type and options, `datasets`, and the engine's settings under `engine`.
        folder: of the shards.

    Raises:
        InputError: an option of the engine is unknown, or more pictures failed than it allows.
    """
    options = {name: value for name, value in run.params.items() if name not in ("type", "engine", "datasets")}
    settings = settings_of(run.params.get("engine") or {}, f"{folder.name}.engine")
    kind, weights = run.params["type"], options.get("model") or options.get("weights") or ""
    run_sharded(
        f"{folder.parent.name} {folder.name}",
        [picture_stamp(row, run.root) for row in _indexed(run, run.params)],
        make_processor,
        {"kind": kind, "options": options, "root": str(run.root.resolve())},
        [kind, options, weights_digest(weights) if weights else ""],
        folder,
        settings,
        columns,
    )


def _indexed(run: Stage, entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of the index, of an entry's datasets where it names any."""
    wanted = dataset_names(entry.get("datasets"))
    return [row for row in read_table(run.root / "index.parquet", INDEX) if not wanted or row["dataset"] in wanted]


def stage(run: Stage) -> None:
    """Describes every picture that an item's datasets name.

    An item's section is a captioner with its options, whose shards go into `described/ITEM`; or a list of describers
    that look at no picture, whose sentences go into `described/ITEM/texts.parquet`; or empty.
    """
    folder = run.root / "described" / (run.item or "texts")
    folder.mkdir(parents=True, exist_ok=True)
    kind = run.params.get("type")
    if kind in CAPTIONERS:
        run_network(DescribeProcessor, DESCRIPTIONS, run, folder)
        return
    if kind is not None:
        raise InputError(f"describe.{folder.name}: type must be one of {', '.join(CAPTIONERS)}, not {kind!r}")
    remove_others(folder, {"texts.parquet"})  # a captioner's that the section no longer names
    count = 0

    def texts() -> Iterator[dict[str, Any]]:
        nonlocal count
        for entry in run.params.get("describers") or []:
            for row in _texts(entry, run, folder.name):
                count += 1
                yield row

    write_table(folder / "texts.parquet", DESCRIPTIONS, texts())
    print(f"describe {folder.name}: {count} sentences")


def _texts(entry: Mapping[str, Any], run: Stage, item: str) -> Iterator[dict[str, Any]]:
    kind = entry.get("type")
    if kind not in DESCRIBERS:
        raise InputError(f"describe.{item}: type must be one of {', '.join(DESCRIBERS)}, not {kind!r}")
    rows = _indexed(run, entry)
    if not rows:
        return
    options = {name: value for name, value in entry.items() if name not in ("type", "datasets")}
    try:
        describer = DESCRIBERS[kind](run.root, **options)
    except TypeError as error:
        raise InputError(f"{kind}: {error}") from error
    known = {"model": kind, "seed": options.get("seed", 0)}
    for row in rows:
        for line in describer.describe(row):
            yield {**known, **line, "dataset": row["dataset"], "sample_id": row["sample_id"]}


if __name__ == "__main__":
    run_stage("describe", __doc__, stage, items=True)
