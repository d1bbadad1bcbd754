"""What the page does with networks: opens a picture, describes it, measures it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tr2m_plugin.datasets.arrays import read_image
from tr2m_plugin.datasets.headers import read_header
from tr2m_plugin.datasets.pictures import printable
from tr2m_plugin.description.describers import Describer, command_names, make_describer
from tr2m_plugin.description.pictures import PICTURES
from tr2m_plugin.errors import InputError
from tr2m_plugin.files import file_size
from tr2m_plugin.inference.camera import Cameras
from tr2m_plugin.inference.inferencer import TR2MInferencer
from tr2m_plugin.page.view import View, assumed_camera
from tr2m_plugin.rows import IndexRow


@dataclass(frozen=True)
class Limits:
    """What a visitor may bring.

    Attributes:
        megabytes: most of a picture's file. Default: 30.
        megapixels: most of a picture, each of which takes 11 bytes per visitor. Default: 24.
    """

    megabytes: float = 30
    megapixels: float = 24

    def check(self, path: str | os.PathLike) -> None:
        """Raises an InputError where a file is too large, or shows too large a picture."""
        name, size = Path(path).name, file_size(path) / 10**6
        if size > self.megabytes:
            raise InputError(f"{name} has {size:.3g} MB: this page takes {self.megabytes:g} MB at most (--max-mb)")
        header = read_header(path)
        height, width = (0, 0) if header is None else header.size
        if height * width > self.megapixels * 10**6:
            most = f"this page takes {self.megapixels:g} million pixels at most (--max-megapixels)"
            raise InputError(f"{name} has {width} × {height} pixels: {most}")


class Desk:
    """Serves all visitors, one at a time.

    Args:
        inferencer: measures.
        describer: what describes pictures, as `tr2m describe` calls it. Default: nobody does.
        options: of the describer. Default: its own.
        device: torch device of the describer. Default: auto.
        limits: what visitors may bring. Default: see `Limits`.
    """

    def __init__(
        self,
        inferencer: TR2MInferencer,
        describer: str | None = None,
        options: Mapping[str, Any] = {},
        device: str = "auto",
        limits: Limits | None = None,
    ) -> None:
        self.inferencer, self.describer = inferencer, describer
        self.options, self.device = options, device
        self.limits = limits or Limits()

    def open(self, path: str | os.PathLike) -> View:
        """Opens a picture's file, whose EXIF data may tell its camera.

        Raises:
            InputError: it is too large, or no picture; the message names it.
        """
        self.limits.check(path)
        source = os.fspath(path)
        try:
            image = read_image(source)
        except InputError as error:  # where it lies is nobody's business
            raise InputError(str(error).replace(source, Path(path).name)) from error
        size = (image.shape[0], image.shape[1])
        return View(printable(Path(path).stem), image, Cameras().of(size, source) or assumed_camera(size))

    def describe(self, view: View) -> str:
        """A sentence about the picture.

        Raises:
            InputError: there is no describer, or it cannot describe this.
            ServiceError: it cannot describe anything.
        """
        row = IndexRow(dataset=PICTURES, sample_id=view.name, split="", image=view.name)
        (found,) = self._describer.each([row], [view.image])
        if isinstance(found, InputError):
            raise found
        return found[0].text

    def measure(self, view: View, sentence: str) -> View:
        """The view with depth of the picture.

        Raises:
            InputError: the sentence is empty, the picture cannot be measured, or contradicts what is known of it.
        """
        if not sentence.strip():
            raise InputError("the sentence is empty: describe the scene in a sentence, or choose what it shows")
        (said,) = self.inferencer.predict([view.image], [sentence], names=[view.name])
        return view.measured(said)

    @cached_property
    def _describer(self) -> Describer:
        if self.describer is None:
            raise InputError("nobody describes here: start the page with --describe NAME")
        kind, own = command_names()[self.describer]
        describer = make_describer(kind, {**own, **self.options}, self.device)
        describer.prompts = describer.prompts[:1]
        return describer
