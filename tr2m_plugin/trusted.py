"""Configs that come as data, and what may be built from them.

A config file (.py) is code: MMEngine's registries import whatever a `type` in it names. A model folder's JSON and a
section of parameters are data: from them nothing is built but what stands here, with options that it takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import Parameter, isclass, signature
from reprlib import Repr
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from tr2m_plugin.errors import InputError
from tr2m_plugin.registry import MODELS, SCOPE

if TYPE_CHECKING:
    from torch import nn

PARTS: dict[str, tuple[str, ...]] = {
    "model": ("TR2M",),
    "data_preprocessor": ("ImgDataPreprocessor", "mmengine.ImgDataPreprocessor"),
    "image_encoder": ("DINOv2Encoder",),
    "rescale_net": ("RescaleNet", "RescaleFactors"),
    "loss_si": ("SILogLoss",),
    "loss_pseudo": ("PseudoDepthLoss",),
    "loss_smooth": ("SmoothnessLoss",),
    "relative_depth": ("RelativeDepth",),
    "text_encoder": ("CLIPTextEncoder",),
}
"""Types by the option that holds their config."""

CODE_ONLY = ("device", "root", "init_cfg", "pad_size_divisor", "pad_value")
"""Options that no data sets: where a network runs, the profile's folder, files that MMEngine would load, sizes that
nothing bounds."""

LARGEST, LONGEST_LIST, LONGEST_TEXT = 2**31 - 1, 64, 10_000

_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    dict: "a config",
    NoneType: "null",
}
_BRIEF = Repr()
_BRIEF.maxstring = _BRIEF.maxother = _BRIEF.maxlong = 60
_BRIEF.maxlevel = 2


def brief(value: Any) -> str:
    """A value for a message, a short line whatever it is."""
    text = _BRIEF.repr(value).replace("\n", " ")
    return text if len(text) <= 120 else f"{text[:117]}..."


def check_config(config: Any, part: str, place: str) -> None:
    """Checks a config, and those in it, before anything is built.

    Args:
        config: for `MODELS`.
        part: which of `PARTS` it is.
        place: where it stands, for messages, such as "config.json: model".

    Raises:
        InputError: its type is none of the part's, or its options are not what the type takes.
    """
    if not isinstance(config, Mapping):
        raise InputError(f"{place} must be a config with a `type`, not {brief(config)}")
    MODELS.import_from_location()
    kind, allowed = config.get("type"), PARTS[part]
    ours = tuple(f"{SCOPE}.{name}" for name in allowed if name in MODELS.module_dict)
    if not isinstance(kind, str) or kind not in allowed + ours:
        raise InputError(f"{place}.type must be {' or '.join(allowed)}, not {brief(kind)}: data builds nothing else")
    cls = MODELS.get(kind)
    assert isclass(cls)
    check_options(cls, {name: value for name, value in config.items() if name != "type"}, place)


def check_options(cls: type, options: Mapping[str, Any], place: str) -> None:
    """Checks options against the annotations of a class's `__init__`.

    Args:
        cls: what takes them.
        options: those of `CODE_ONLY` are not taken; a config among them is checked as the part of its name.
        place: see `check_config`.

    Raises:
        InputError: one does not exist, is of the wrong kind or is missing; the message names it.
    """
    taken = _taken(cls)
    for name, value in options.items():
        where = f"{place}.{name}" if isinstance(name, str) and name in taken else place
        if where == place:
            raise InputError(f"{place} has no option {brief(name)}; {cls.__name__} takes {', '.join(taken)}")
        kind = taken[name][0]
        if not _fits(value, kind):
            raise InputError(f"{where} must be {_words(kind)}, not {brief(value)}")
        if isinstance(value, Mapping):
            check_config(value, name, where)
    missing = [name for name, (_, needed) in taken.items() if needed and name not in options]
    if missing:
        raise InputError(f"{place} lacks {', '.join(missing)}, which {cls.__name__} needs")


def _taken(cls: type) -> dict[str, tuple[Any, bool]]:
    """Options that a class takes from data: kind, and whether it is needed; with `**kwargs` its base's too."""
    taken: dict[str, tuple[Any, bool]] = {}
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        found = signature(vars(base)["__init__"]).parameters
        kinds = get_type_hints(vars(base)["__init__"])
        named = {n: p for n, p in found.items() if n in kinds and p.kind is not Parameter.VAR_KEYWORD}
        for name, parameter in named.items():
            if name not in CODE_ONLY:
                taken.setdefault(name, (kinds[name], cls is base and parameter.default is Parameter.empty))
        if all(parameter.kind is not Parameter.VAR_KEYWORD for parameter in found.values()):
            break
    return taken


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value of JSON or YAML is of an annotated kind, and bounded."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is Literal:
        return isinstance(value, str) and value in inner
    if origin in (Sequence, list, tuple):
        listed = isinstance(value, (list, tuple)) and len(value) <= LONGEST_LIST
        return listed and all(_fits(item, inner[0]) for item in value)
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= LARGEST  # no NaN
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST
    if kind is str:
        return is_text(value)
    return kind in (bool, NoneType, dict) and isinstance(value, kind)


def is_text(value: Any) -> bool:
    """Whether a value is a string of sensible length that files and screens can take."""
    if not isinstance(value, str) or len(value) > LONGEST_TEXT or "\0" in value:
        return False
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


def _words(kind: Any) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_words(one) for one in inner))
    if origin is Literal:
        return f"one of {', '.join(inner)}"
    if origin in (Sequence, list, tuple):
        return f"a list of {_words(inner[0]).removeprefix('a ')}s"
    return _WORDS.get(kind, "something else")


@contextmanager
def parameters_within(limit: int, message: str) -> Iterator[None]:
    """A block in which modules take up no more parameters than their weights can hold, whatever a config asks for.

    Args:
        limit: number of parameters; memory is not touched before they are counted.
        message: message of the error.

    Raises:
        InputError: modules with more parameters are made, or memory for one of them cannot even be asked for.
    """
    from torch.nn.modules.module import register_module_parameter_registration_hook

    count = 0

    def add(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal count
        count += 0 if parameter is None else max(1, parameter.numel())
        if count > limit:
            raise InputError(message)

    hook = register_module_parameter_registration_hook(add)
    try:
        yield
    except RuntimeError as error:
        if "allocate memory" in str(error) or "overflow" in str(error):
            raise InputError(message) from error
        raise
    finally:
        hook.remove()
