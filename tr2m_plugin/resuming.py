"""What a training may go on from: the newest checkpoint that can be read, and whether it fits the config."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from mmengine.logging import print_log
from torch import nn

from tr2m_plugin.checkpoint import load_checkpoint, state_of
from tr2m_plugin.errors import InputError

T = TypeVar("T")
NUMBERED = re.compile(r"(iter|epoch)_(\d+)\.pth")


def newest_checkpoint(folder: str | os.PathLike) -> str | None:
    """The newest regular checkpoint of a work folder that can be read, by its number.

    `last_checkpoint` is only asked where there is no `iter_*.pth` or `epoch_*.pth`, as with file names of one's own: a
    kill leaves it behind, and moving the folder makes it wrong. What is skipped is said.

    Returns:
        Its path; None where there is none.
    """
    by_kind: dict[str, list[tuple[int, Path]]] = {"iter": [], "epoch": []}
    for file in Path(folder).glob("*.pth"):
        if found := NUMBERED.fullmatch(file.name):
            by_kind[found[1]].append((int(found[2]), file))
    files = [[file for _, file in sorted(numbered, reverse=True)] for numbered in by_kind.values()]
    pointer = Path(folder) / "last_checkpoint"
    if not any(files) and pointer.is_file():
        named = pointer.read_text(errors="replace").strip()
        files.append([file for file in (Path(folder) / os.path.basename(named), Path(named)) if named])
    newest = [found for found in map(_first_readable, files) if found is not None]
    return max(newest)[1] if newest else None


def is_readable(file: str | os.PathLike) -> bool:
    """Whether a file is a checkpoint; what is wrong with it is said."""
    return _said(lambda: load_checkpoint(file)) is not None


def _first_readable(files: list[Path]) -> tuple[int, str] | None:
    """The iteration and path of the first of some files that a training can go on from."""
    for file in files:
        iteration = _said(lambda file=file: _iteration(file))  # type: ignore[misc]
        if iteration is not None:
            return iteration, str(file)
    return None


def _iteration(file: Path) -> int:
    content = load_checkpoint(file)
    check_training_state(content, file)
    return content["meta"]["iter"]


def _said(read: Callable[[], T]) -> T | None:
    """What a function returns; None after an expected error, which is said."""
    try:
        return read()
    except InputError as error:
        print_log(f"skipped: {error}", "current", logging.WARNING)
        return None


def check_training_state(content: Mapping[str, Any], file: str | os.PathLike) -> None:
    """Raises an InputError unless a checkpoint holds a training's progress beside weights."""
    meta = content.get("meta")
    numbers = [meta.get("epoch"), meta.get("iter")] if isinstance(meta, Mapping) else [None]
    if not all(type(number) is int and number >= 0 for number in numbers) or "message_hub" not in content:
        raise InputError(
            f"{file} holds weights and no training to go on with: resume from an iter_*.pth or epoch_*.pth, or start "
            "from these weights with `load_from`"
        )
    if "optimizer" not in content and "param_schedulers" not in content:
        raise InputError(
            f"{file} holds no state of the optimizer, as best checkpoints do not: resume from an iter_*.pth or "
            "epoch_*.pth, or start from these weights with `load_from`"
        )


def check_weights(content: Mapping[str, Any], model: nn.Module, file: str, complete: bool = False) -> None:
    """Raises an InputError where a checkpoint is of another network.

    MMEngine only warns of weights of other shapes or names, and goes on with those that the model was made with.

    Args:
        content: the checkpoint.
        model: that takes its weights.
        file: the checkpoint's name.
        complete: whether all of the model's weights must be there. Default: False.
    """
    stored = {name.removeprefix("module."): tensor for name, tensor in state_of(content, file).items()}
    own = model.state_dict()
    shared = [name for name in own if name in stored]
    if own and not shared:
        raise InputError(f"{file} is of another model: it has none of this config's weights, such as {next(iter(own))}")
    for name in shared:
        if stored[name].shape != own[name].shape:
            raise InputError(
                f"{file} is of another model: {name} is {tuple(stored[name].shape)} in it and "
                f"{tuple(own[name].shape)} in this config"
            )
    missing = [name for name in own if name not in stored]
    if complete and missing:
        raise InputError(
            f"{file} is of another model: it lacks {len(missing)} of this config's {len(own)} weights, such as "
            f"{missing[0]}"
        )


def check_optimizer(content: Mapping[str, Any], optimizer: Mapping[str, Any], file: str) -> None:
    """Raises an InputError where a checkpoint is of another optimizer, whose settings torch would take.

    Args:
        content: the checkpoint.
        optimizer: state of the optimizer that trains.
        file: the checkpoint's name.
    """
    groups = content.get("optimizer", {}).get("param_groups", [])
    for theirs, ours in zip(groups, optimizer.get("param_groups", []), strict=False):
        # An option more or less is a version of torch's; options on both sides are another optimizer's.
        if theirs.keys() - ours.keys() and ours.keys() - theirs.keys():
            options = ", ".join(sorted(theirs.keys() - ours.keys()))
            raise InputError(f"{file} is of another optimizer, which has {options}: resume with the config it is of")
