"""The errors this package raises on purpose: each says what is wrong and what to do."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import TypeVar

Found = TypeVar("Found")


class TR2MError(Exception):
    """Base of all errors of this package; the command line prints it in one line and exits with status 2."""


class InputError(TR2MError, ValueError):
    """A file, folder, table or setting is not what it should be."""


class UnsafeCheckpointError(InputError):
    """A checkpoint holds something else than weights and training state, possibly code."""


class ServiceError(TR2MError):
    """A service that everything needs refuses: no picture is at fault, and whatever is tried next would fail too."""


class MissingExtraError(TR2MError, ImportError):
    """A package of an optional extra is not installed."""


def require(module: str, purpose: str, extra: str) -> ModuleType:
    """Imports an optional dependency.

    Args:
        module: name of the module.
        purpose: what it is needed for, as in "to read tables".
        extra: the extra of `tr2m_plugin` that installs it.

    Raises:
        MissingExtraError: it is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise MissingExtraError(
            f"{module} is not installed; it is needed {purpose}: pip install 'tr2m_plugin[{extra}]'"
        ) from error


def reason_of(error: Exception) -> str:
    """Why something failed, in one line; the type of what is not raised on purpose too."""
    text = " ".join(str(error).split())
    return text if isinstance(error, InputError) and text else f"{type(error).__name__}: {text}".removesuffix(": ")


def attempt(read: Callable[[], Found], sample: str, failed: dict[str, str]) -> Found | None:
    """What a function makes of one picture; None where it cannot, and then why in `failed`.

    Whatever goes wrong with one picture is that picture's: what a broken file makes of a decoder is anybody's guess.
    """
    try:
        return read()
    except (MissingExtraError, ServiceError):
        raise
    except Exception as error:
        failed[sample] = reason_of(error)
        return None
