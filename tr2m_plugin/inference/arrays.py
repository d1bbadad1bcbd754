"""Pictures that are in memory already, and the names that their files get."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from tr2m_plugin.datasets.colors import to_rgb
from tr2m_plugin.datasets.pictures import free_name, printable
from tr2m_plugin.errors import InputError

Input = Any
"""A path, an (H, W, 3) uint8 RGB array, or a picture of PIL's."""

PIL_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr", "LAB")


def to_pictures(inputs: Input | Sequence[Input]) -> Any:
    """Inputs with pictures of PIL's as arrays, upright as their EXIF data says.

    Raises:
        InputError: one is neither a path, an array nor a picture of PIL's, or is one of more than 8 bits.
    """
    if isinstance(inputs, (list, tuple)):
        return [_to_picture(one) for one in inputs]
    return _to_picture(inputs)


def _to_picture(one: Input) -> str | os.PathLike | np.ndarray:
    if isinstance(one, (str, os.PathLike, np.ndarray)):
        return one
    pillow = sys.modules.get("PIL.Image")
    if pillow is not None and isinstance(one, pillow.Image):
        from PIL import ImageOps

        if one.mode not in PIL_MODES:
            raise InputError(f"a picture of PIL's in the mode {one.mode} is not 8-bit: convert it to RGB")
        return to_rgb(ImageOps.exif_transpose(one))
    raise InputError(
        f"a picture is a path, an (H, W, 3) uint8 RGB array or a picture of PIL's, not a {type(one).__name__}; of a "
        "tensor (3, H, W) in 0..1 it is (255 * tensor).byte().permute(1, 2, 0).cpu().numpy()"
    )


def name_arrays(
    pictures: Sequence[tuple[str, Path | np.ndarray]], names: Sequence[str] | None = None, first: int = 0
) -> list[tuple[str, Path | np.ndarray]]:
    """Pictures with other names.

    Args:
        pictures: with the names that `name_pictures` gives.
        names: that take their place. Default: only arrays get others, which count from `first` on, with a number
            behind them where a file has that name.
        first: number of the first array. Default: 0.

    Raises:
        InputError: names are not one for each picture, or could not be those of files in one folder.
    """
    if names is None:
        if first == 0:
            return list(pictures)
        taken = {name for name, picture in pictures if not isinstance(picture, np.ndarray)}
        return [
            (free_name(str(first + number), taken) if isinstance(picture, np.ndarray) else name, picture)
            for number, (name, picture) in enumerate(pictures)
        ]
    if isinstance(names, str) or len(names) != len(pictures):
        raise InputError(f"names are one for each of {len(pictures)} pictures")
    for name in names:
        if not isinstance(name, str) or printable(name) != name or not _is_below(PurePath(name)):
            raise InputError(f"a name is a path below the folder of the files, not {name!r}")
    plain = [PurePath(name).as_posix() for name in names]  # "./a" and "a/" are files of "a"
    if len(set(plain)) < len(plain):
        raise InputError("two pictures have one name")
    return [(name, picture) for name, (_, picture) in zip(plain, pictures, strict=True)]


def _is_below(path: PurePath) -> bool:
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def to_texts(text: Any, count: int) -> str | Sequence[str] | None:
    """A sentence for all of some pictures, or one for each, as it was given.

    Raises:
        InputError: there are more or fewer than pictures, or it is something else.
    """
    if text is None or isinstance(text, str):
        return text
    if isinstance(text, (bytes, Mapping)) or not isinstance(text, Iterable):
        raise InputError(f"text is a sentence, or a list of one for each picture, not a {type(text).__name__}")
    texts = list(text)
    if len(texts) != count:
        raise InputError(f"{len(texts)} texts for {count} pictures")
    return texts


def free_number(folder: Path) -> int:
    """The number after the largest that names a prediction in a folder."""
    found = folder.glob("*.json") if folder.is_dir() else ()
    return 1 + max((int(path.stem) for path in found if path.stem.isdecimal()), default=-1)
