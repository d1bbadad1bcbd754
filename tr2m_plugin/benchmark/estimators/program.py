"""Anybody's depth model: a Python class that the user names, as MoGe's `baselines` are."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tr2m_plugin.benchmark.estimators.base import (
    Estimator,
    Facts,
    Request,
    Returns,
    accepted,
    hash_of,
    public_name,
    register,
)
from tr2m_plugin.errors import InputError

NAMED = re.compile(r"(?P<file>.+\.py|[A-Za-z_][\w.]*):(?P<name>[A-Za-z_]\w*)")
"""A class of a file or of an importable module."""


@register
class ProgramEstimator(Estimator):
    """A class with `predict(images, texts, size)`, `returns` and maybe `facts`, `needs_text`, `unit_rule`, `unit_of`.

    It need not be a subclass of `Estimator`: `returns` may also be a dictionary of the options of `Returns`.

    Args:
        made: an object of the class.
        name: how the user named it.
        returns: what its numbers mean, where it does not say.

    Raises:
        InputError: it has no `predict`, or nobody says what it returns.
    """

    def __init__(self, made: Any, name: str, returns: Returns | None = None) -> None:
        if not callable(getattr(made, "predict", None)):
            raise InputError(f"{name} has no method predict(images, texts, size)")
        said = getattr(made, "returns", None)
        if isinstance(said, Mapping):
            try:
                said = Returns(**said)
            except (TypeError, InputError) as error:
                raise InputError(f"{name}: returns: {error}") from error
        if not isinstance(said, Returns | None):
            example = {"space": "depth", "metric": True, "unit": "m"}
            raise InputError(f"{name}: returns must be such as {example}, not {said!r:.100}")
        if said is not None and returns is not None and said != returns:
            raise InputError(f"{name} says itself what it returns: leave out --returns and --unit")
        if said is None and returns is None:
            raise InputError(
                f"{name} does not say what it returns: give it an attribute `returns`, or --returns depth or disparity "
                "and --unit m, mm, dataset or none for affine-invariant"
            )
        self.made, self.name = made, name
        self.returns = said or returns  # type: ignore[assignment]
        self.facts = getattr(made, "facts", None) or _facts(made, name)
        self.needs_text = bool(getattr(made, "needs_text", False))
        self.unit_rule = getattr(made, "unit_rule", "dataset")

    @classmethod
    def opens(cls, request: Request) -> bool:
        return NAMED.fullmatch(request.model) is not None and not Path(request.model).exists()

    @classmethod
    def open(cls, request: Request) -> Estimator:
        wanted = _find(request.model)
        try:
            made = wanted(**accepted(wanted, request))
        except InputError:
            raise
        except Exception as error:  # whatever somebody's program does
            raise InputError(f"{request.model} cannot be made: {type(error).__name__}: {error}") from error
        if isinstance(made, Estimator) and not hasattr(made, "facts"):
            made.facts = _facts(made, request.model)
        return made if isinstance(made, Estimator) else cls(made, request.model, request.returns)

    def predict(
        self, images: Sequence[Any], texts: Sequence[str], size: Sequence[int] | None = None
    ) -> list[np.ndarray]:
        found = self.made.predict(images, texts, size)
        found = [np.asarray(value.detach().cpu() if hasattr(value, "detach") else value) for value in found]
        if len(found) != len(images):
            raise InputError(f"{self.name} gave {len(found)} depth maps for {len(images)} pictures")
        return [value.squeeze().astype(np.float32) if value.ndim > 2 else value.astype(np.float32) for value in found]

    def unit_of(self, text: str) -> str | None:
        rule = getattr(self.made, "unit_of", None)
        return None if rule is None else rule(text)


def _find(model: str) -> Any:
    """The class that a user named, from its file or module."""
    found = NAMED.fullmatch(model)
    assert found is not None
    source, name = found["file"], found["name"]
    try:
        module = _load(Path(source)) if source.endswith(".py") else importlib.import_module(source)
    except InputError:
        raise
    except Exception as error:
        hint = f"; of a file, write {source}.py:{name}" if Path(f"{source}.py").is_file() else ""
        raise InputError(f"{source} cannot be imported: {type(error).__name__}: {error}{hint}") from error
    if not callable(getattr(module, name, None)):
        raise InputError(f"{source} has no class {name}")
    return getattr(module, name)


def _load(file: Path) -> Any:
    if not file.is_file():
        raise InputError(f"{file} does not exist")
    folder, name = str(file.resolve().parent), file.stem
    if folder not in sys.path:
        sys.path.insert(0, folder)  # what lies beside a program can be imported by it, as when Python runs it
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _facts(made: Any, model: str) -> Facts:
    """What can be said of a program that does not say it itself."""
    source, _, name = model.rpartition(":")
    return Facts(name, f"{public_name(source)}:{name}", hash_of(made))
