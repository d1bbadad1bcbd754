"""What travels between the parts: rows of the pipeline's tables, one class per table.

Every row names a picture by `dataset` and `sample_id`; tables are joined on these, never by position. How rows lie in
Parquet files is said in `tr2m_plugin.datasets.parquet` alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tr2m_plugin.errors import InputError


@dataclass(frozen=True, kw_only=True)
class PictureRow:
    """What rows of all tables have in common.

    Attributes:
        dataset: name of the dataset.
        sample_id: unique inside its dataset.
    """

    dataset: str
    sample_id: str

    @property
    def key(self) -> str:
        """The name of the picture in array shards: dataset and sample id."""
        return f"{self.dataset}/{self.sample_id}"


@dataclass(frozen=True, kw_only=True)
class IndexRow(PictureRow):
    """A picture.

    Attributes:
        split: train, val or test.
        domain: indoor, outdoor, surgical, ...: what a wrong-domain description differs in.
        image: file or array reference, relative to the table's folder.
        depth: file or array reference; None without ground truth.
        depth_scale: from stored numbers to the unit.
        unit: unit of depth, "m" or "mm".
        depth_min: nearest depth that is evaluated.
        depth_max: farthest depth that is evaluated.
        fx: focal length in pixels, horizontal; None where unknown, as the next three.
        fy: the same, vertical.
        cx: column of the principal point.
        cy: row of the principal point.
        reader: whose rule decodes its files (see `tr2m_plugin.datasets.readers`); None for plain files.
        extras: what the reader needs or knows besides; anything JSON can hold.
        protocol: by which it is evaluated (see `tr2m_plugin.evaluation.protocols`); None: `depth_min` to `depth_max`.
    """

    split: str
    domain: str | None = None
    image: str
    depth: str | None = None
    depth_scale: float | None = None
    unit: str = "m"
    depth_min: float | None = None
    depth_max: float | None = None
    fx: float | None = None
    fy: float | None = None
    cx: float | None = None
    cy: float | None = None
    reader: str | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)
    protocol: str | None = None

    @property
    def truth(self) -> str:
        """Where its depth is.

        Raises:
            InputError: it has none.
        """
        if self.depth is None:
            raise InputError(f"{self.key} has no depth")
        return self.depth

    def resolved(self, root: Path) -> IndexRow:
        """The row with picture and depth named from the table's folder on; absolute names stay."""
        depth = None if self.depth is None else os.fspath(root / self.depth)
        return replace(self, image=os.fspath(root / self.image), depth=depth)


@dataclass(frozen=True, kw_only=True)
class ErrorRow(PictureRow):
    """A picture that could not be processed.

    Attributes:
        reason: why.
    """

    reason: str


@dataclass(frozen=True, kw_only=True)
class ObjectRow(PictureRow):
    """A visible object; a picture's are listed with the largest first.

    Attributes:
        label: name of the object; None in the one row of a picture without objects.
        area: share of the picture that it covers.
    """

    label: str | None
    area: float | None


@dataclass(frozen=True, kw_only=True)
class ListedRow(ObjectRow):
    """An object that a network found.

    Attributes:
        source: what found it.
        model: its weights.
        revision: revision of the weights' repository; None where there is none.
    """

    source: str
    model: str
    revision: str | None = None


@dataclass(frozen=True, kw_only=True)
class SceneRow(PictureRow):
    """What a scene graph knows of a rendered picture.

    Attributes:
        place: name of the place.
        extent: what makes it small or large, in its original's unit.
        detail: a detail of the place; what a sentence may mention.
        scale: below one for miniatures.
        indoor: whether the place is.
    """

    place: str
    extent: float
    detail: str
    scale: float
    indoor: bool


@dataclass(frozen=True, kw_only=True)
class DescriptionRow(PictureRow):
    """A sentence about a picture; a picture's first is the one used in evaluation.

    Attributes:
        source: who says it: llava-vicuna, llava-mistral, maskdino, template, rsa, scene, objects, ...
        variant: counts a source's sentences from 0.
        text: the sentence.
        model: what made it.
        revision: revision of the model; None where it has none.
        prompt: that it answers; None where there was none.
        seed: that it was drawn with.
        flags: what to know of it, such as cut, with commas between; None when nothing.
    """

    source: str
    variant: int
    text: str
    model: str | None = None
    revision: str | None = None
    prompt: str | None = None
    seed: int | None = None
    flags: str | None = None


@dataclass(frozen=True, kw_only=True)
class SentenceRow(PictureRow):
    """What everybody's table of descriptions must say of a sentence.

    Attributes:
        source: who says it.
        text: the sentence.
    """

    source: str
    text: str
