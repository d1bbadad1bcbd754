"""What every describer is, and the registry of them, which imports one only to make it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import DescriptionRow, IndexRow, PictureRow

if TYPE_CHECKING:
    import numpy as np

Role = Literal["text", "captioner", "lister"]


class Describer(ABC):
    """What turns pictures into rows of the table of descriptions.

    Attributes:
        prompts: questions that it asks about a picture. Default: it asks none.
        at_once: pictures that it is best given together, where they need not wait for each other. Default: 1.
    """

    prompts: tuple[str, ...] = ()
    at_once: int = 1

    @abstractmethod
    def describe(self, rows: Sequence[IndexRow], images: Sequence[np.ndarray] = ()) -> list[DescriptionRow]:
        """Describes pictures.

        Args:
            rows: one row of the index per picture; captioners and listers read `dataset` and `sample_id` only.
            images: the pictures in the same order, (H, W, 3) uint8 RGB each, of any sizes. Default: none, for those
                that look at no picture.

        Returns:
            All sentences of a picture after each other, in the order of the pictures.

        Raises:
            InputError: a picture cannot be described; the message names it.
            ServiceError: none can.
        """

    def each(
        self, rows: Sequence[IndexRow], images: Sequence[np.ndarray] = ()
    ) -> Sequence[list[DescriptionRow] | InputError]:
        """Each picture's rows; or, of those that can tell whose it is, the error; otherwise see `describe`."""
        made: dict[str, list[DescriptionRow]] = {row.key: [] for row in rows}
        for line in self.describe(rows, images):
            made[line.key].append(line)
        return list(made.values())


class Registered(NamedTuple):
    """A describer in the registry.

    Attributes:
        place: its module and class. The constructor takes the options that params.yaml or the command line give, and
            besides them, where it names them, `device` (torch device) and `root` (the profile's folder).
        role: `text` for one that looks at no picture; `captioner` for one that does, `lister` for one that lists the
            objects in it.
        names: what `tr2m describe` calls it, each with the options that it stands for. Default: none.
        aside: options that no sentence depends on, which may change without anything being described anew. Default:
            none.
    """

    place: str
    role: Role
    names: Mapping[str, Mapping[str, Any]] = {}
    aside: tuple[str, ...] = ()


DESCRIBERS: dict[str, Registered] = {
    "Llava": Registered(
        "tr2m_plugin.description.llava.LlavaDescriber",
        "captioner",
        {
            "llava-vicuna": {"model": "llava-hf/llava-v1.6-vicuna-7b-hf"},
            "llava-mistral": {"model": "llava-hf/llava-v1.6-mistral-7b-hf"},
        },
    ),
    "TransformersCaptioner": Registered(
        "tr2m_plugin.description.captioner.TransformersCaptioner",
        "captioner",
        {
            "blip": {"model": "Salesforce/blip-image-captioning-base"},
            "florence-2": {"model": "florence-community/Florence-2-base"},
            "smolvlm": {"model": "HuggingFaceTB/SmolVLM-256M-Instruct"},
            "captioner": {},
        },
    ),
    "OpenAICaptioner": Registered(
        "tr2m_plugin.description.openai_captioner.OpenAICaptioner",
        "captioner",
        {"openai": {}},
        aside=("base_url", "in_flight", "tries", "timeout", "longest_wait", "most_in_a_row", "keep"),
    ),
    "MaskDino": Registered("tr2m_plugin.description.listers.MaskDinoLister", "lister", {"maskdino": {}}),
    "Transformers": Registered("tr2m_plugin.description.listers.TransformersLister", "lister", {"transformers": {}}),
    "TextFiles": Registered("tr2m_plugin.description.texts.TextFiles", "text"),
    "Sentence": Registered("tr2m_plugin.description.texts.Sentence", "text"),
    "ColonTemplate": Registered("tr2m_plugin.description.templates.ColonTemplate", "text"),
    "RSA": Registered("tr2m_plugin.description.rsa.RSA", "text"),
}
"""All describers by type, as params.yaml names them."""


def command_names() -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Gives type and options of describers by the names that `tr2m describe` knows."""
    return {name: (kind, options) for kind, found in DESCRIBERS.items() for name, options in found.names.items()}


def check_role(kind: Any, role: Role, place: str) -> None:
    """Raises an InputError where a type is that of no describer of a role.

    Args:
        kind: the type.
        role: see `Registered`.
        place: where it stands, for the message, such as "describe.texts".
    """
    known = sorted(name for name, found in DESCRIBERS.items() if found.role == role)
    if kind not in known:
        raise InputError(f"{place}: type must be one of {', '.join(known)}, not {kind!r}")


def make_describer(kind: str, options: Mapping[str, Any], device: str = "auto", root: str = ".") -> Describer:
    """Makes a describer, importing its module.

    Args:
        kind: one of `DESCRIBERS`.
        options: what its constructor takes.
        device: torch device, for a network. Default: auto.
        root: the profile's folder, for what reads its tables. Default: the working directory.

    Raises:
        InputError: an option is unknown, missing or of the wrong kind.
    """
    from tr2m_plugin.trusted import check_options

    module, _, name = DESCRIBERS[kind].place.rpartition(".")
    made = getattr(import_module(module), name)
    check_options(made, options, kind)
    named = signature(made).parameters
    given = {name: value for name, value in (("device", device), ("root", root)) if name in named}
    try:
        return made(**options, **given)
    except TypeError as error:
        raise InputError(f"{kind}: {error}") from error


def numbered(row: PictureRow, source: str, texts: Iterable[str]) -> list[DescriptionRow]:
    """Makes rows of the table of descriptions of a picture's sentences of one source, counted from 0.

    Args:
        row: the picture's, of any table.
        source: who says them.
        texts: the sentences.
    """
    return [
        DescriptionRow(dataset=row.dataset, sample_id=row.sample_id, source=source, variant=number, text=text)
        for number, text in enumerate(texts)
    ]
