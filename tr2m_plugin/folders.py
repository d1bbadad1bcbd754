"""What lies in a folder and those below it, file by file, and what is left out of it, with the reason."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

CLUTTER = (
    "@eaDir",
    "#recycle",
    "__MACOSX",
    "Thumbs.db",
    "desktop.ini",
    "lost+found",
    "System Volume Information",
    "$RECYCLE.BIN",
    ".ipynb_checkpoints",
)
"""What systems and programs put beside data."""

FOLDER = "folder"


def clutter(name: str) -> str | None:
    """Why a file or folder of that name is none of the data, in a word; None where it may be."""
    if name in CLUTTER:
        return name
    if name.startswith("._"):
        return "._*"
    if name.startswith(".Trash"):
        return ".Trash*"
    return "hidden" if name.startswith(".") else None


def is_utf8(name: str) -> bool:
    """Whether a name can stand in a table; one of other bytes holds what cannot be encoded."""
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


def walk(root: Path, on_error: Callable[[OSError], None] | None = None) -> Iterator[tuple[Path, str | None]]:
    """Every regular file below a folder with None, and all else with the reason why it is left out.

    Links to folders are followed, after the real ones, and no folder is entered twice.

    Args:
        root: the folder.
        on_error: called for a folder that cannot be read. Default: it is left out, with the reason.
    """
    real, linked, seen = deque([root]), deque[Path](), set()
    above = set(root.resolve().parents)
    while real or linked:
        folder = (real or linked).popleft()
        try:
            found = os.stat(folder)
            if (found.st_dev, found.st_ino) in seen:
                yield folder, "links to folders that are there already"
                continue
            seen.add((found.st_dev, found.st_ino))
            with os.scandir(folder) as entries:
                names = sorted(entry.name for entry in entries)
        except OSError as error:
            if on_error is not None:
                on_error(error)
            yield folder, f"folders that cannot be read ({error.strerror})"
            continue
        for path in (folder / name for name in names):
            kind = clutter(path.name) or _kind(path)
            if kind != FOLDER:
                yield path, kind
            elif not path.is_symlink():
                real.append(path)
            elif Path(os.path.realpath(path)) in above:
                yield path, "links to a folder above"
            else:
                linked.append(path)


def _kind(path: Path) -> str | None:
    """What a path leads to: None for a regular file, `FOLDER` for a folder, else why it is neither."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return "links that lead nowhere" if path.is_symlink() else f"unreadable ({error.strerror})"
    if stat.S_ISDIR(mode):
        return FOLDER
    return None if stat.S_ISREG(mode) else "pipes, sockets and devices"


def count_reasons(reasons: Mapping[str, int]) -> str:
    """Reasons with their counts, in words: `2 .mp4 (a video: extract its frames), 4 ._*`."""
    return ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
