"""Sentences about rendered pictures, made from what their scene graph says."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.mini_world.captions import colon_sentences, scene_sentences, toy_labels
from tr2m_plugin.datasets.parquet import read_rows
from tr2m_plugin.description.describers import Describer, numbered
from tr2m_plugin.description.object_list import object_sentences
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import DescriptionRow, IndexRow, ObjectRow, SceneRow


class SceneGraph(Describer):
    """Describes rendered pictures from their scene graph: place sentences, object lists, colon templates.

    Args:
        root: the profile's folder.
        objects: object lists per picture. Default: 1.
        seed: number that the choice of words starts from. Default: 0.
    """

    def __init__(self, root: str, objects: int = 1, seed: int = 0) -> None:
        self.objects, self.seed = objects, seed
        world = Path(root) / "world"
        self._scenes = {row.key: row for row in read_rows(world / "scenes.parquet", SceneRow)}
        self._labels: dict[str, list[str]] = defaultdict(list)
        for row in read_rows(world / "objects.parquet", ObjectRow):
            self._labels[row.key] += [row.label] if row.label else []

    def describe(self, rows: Sequence[IndexRow], images: Sequence[np.ndarray] = ()) -> list[DescriptionRow]:
        """Describes pictures of the miniature world, by their rows' `domain` too.

        Raises:
            InputError: a picture is of another world.
        """
        return [line for row in rows for line in self._lines(row)]

    def _lines(self, row: IndexRow) -> list[DescriptionRow]:
        key = row.key
        if key not in self._scenes:
            raise InputError(f"{key} has no scene graph: SceneGraph describes the miniature world only")
        scene = self._scenes[key]
        if row.domain == "surgical":
            return numbered(row, "template", colon_sentences(scene.place, scene.detail))
        seed = zlib.crc32(key.encode())
        rng = np.random.default_rng([self.seed, seed])
        labels = self._labels[key]
        places = scene_sentences(
            scene.place,
            scene.extent,
            labels,
            rng,
            indoor=scene.indoor,
            scale=scene.scale,
            diorama=row.dataset == "diorama",
        )
        listed = labels if scene.scale == 1 else toy_labels(labels, rng)
        lists = object_sentences(listed, self.objects, seed + self.seed)
        return numbered(row, "scene", places) + numbered(row, "objects", lists)
