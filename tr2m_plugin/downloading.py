"""Files from the web: whole or not at all, gone on with after a cut, one process at a time."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPException
from logging import getLogger
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, build_opener

from filelock import FileLock, Timeout
from tqdm import tqdm

from tr2m_plugin.errors import InputError
from tr2m_plugin.replacing import read_marked

_SILENCE = 60  # seconds after which a server that sends nothing is given up
_LOGGER = getLogger("tr2m_plugin")


def home() -> Path:
    """The folder of what this package fetches by name: `TR2M_HOME`, or `tr2m` in `XDG_CACHE_HOME` or `~/.cache`."""
    given = os.environ.get("TR2M_HOME")
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")
    return Path(os.path.expanduser(given or os.path.join(cache, "tr2m"))).absolute()


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """A block that makes a file or folder; a second process waits, and says so, until the first is done or dead.

    Args:
        path: what is made; its folder is made if need be, and `NAME.lock` stays beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{path}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _LOGGER.warning("waiting for another process that makes %s", path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def fetch(
    address: str, target: Path, check: Callable[[Path], object] = lambda path: None, hint: str = "try again"
) -> None:
    """Fetches a file unless it is there.

    What arrived before a cut stays as `NAME.part`, and the next call goes on from there, if the server names the file's
    state with an ETag and that is still the same. Proxies are those of the environment.

    Args:
        address: of the file.
        target: where it goes; the folder is made if need be.
        check: called with what arrived before that gets its name; what it refuses is removed. Default: nothing is.
        hint: what to do where the file cannot be fetched, for the message. Default: try again.

    Raises:
        InputError: the file cannot be fetched, was cut off, or is refused.
    """
    if target.is_file():  # without a lock, for which its folder might have no room
        return
    part = target.with_name(f"{target.name}.part")
    mark = part.with_name(f"{part.name}.json")
    with one_at_a_time(target):
        if target.is_file():
            return
        _complete(address, part, mark, hint)
        try:
            check(part)
            os.replace(part, target)
        except InputError as error:
            raise type(error)(f"{address}: {error}") from error
        finally:
            part.unlink(missing_ok=True)
            mark.unlink(missing_ok=True)


def _complete(address: str, part: Path, mark: Path, hint: str) -> None:
    """Fetches what a part lacks; a part without a mark, which says of what it is one, does not outlive a cut."""
    try:
        _append(address, part, mark)
    except BaseException as error:
        if not mark.is_file():
            part.unlink(missing_ok=True)
        if isinstance(error, (OSError, HTTPException, ValueError)) and not isinstance(error, InputError):
            reason = str(error).removeprefix("<urlopen error ").removesuffix(">") or type(error).__name__
            raise InputError(f"{address} cannot be fetched: {reason}; {hint}") from error
        raise


def _append(address: str, part: Path, mark: Path) -> None:
    known = read_marked(mark, address=address) or {}
    start = part.stat().st_size if known and part.is_file() else 0
    answer, start = _open(address, start, known.get("etag"))
    with answer, part.open("ab" if start else "wb") as file:
        if not start:  # and so no bytes of another state are left
            _write_mark(mark, address, answer.headers.get("ETag"))
        told = answer.headers.get("Content-Length")
        wanted = None if told is None else start + int(told)
        name = address.rpartition("/")[2].partition("?")[0]
        with tqdm.wrapattr(answer, "read", total=wanted, initial=start, desc=name, mininterval=1) as stream:
            shutil.copyfileobj(stream, file, 2**20)
    found = part.stat().st_size
    if wanted is not None and found != wanted:
        raise InputError(f"{address} was cut off: {found} of {wanted} bytes arrived; try again")


def _open(address: str, start: int, etag: str | None) -> tuple[Any, int]:
    """An answer and the byte that it begins with: `start`, if the server has the rest of that state, otherwise 0."""
    if not start:
        return _ask(address), 0
    try:
        answer = _ask(address, {"Range": f"bytes={start}-"})
    except HTTPError as error:
        if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        return _ask(address), 0
    if answer.status != HTTPStatus.PARTIAL_CONTENT:
        return answer, 0
    if answer.headers.get("ETag") == etag and answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        return answer, start
    answer.close()
    return _ask(address), 0


def _ask(address: str, headers: Mapping[str, str] = MappingProxyType({})) -> Any:
    request = Request(address, headers={"User-Agent": "tr2m_plugin", **headers})
    return build_opener().open(request, timeout=_SILENCE)  # urlopen would keep the proxies of its first call


def _write_mark(mark: Path, address: str, etag: str | None) -> None:
    if etag:
        mark.write_text(json.dumps({"address": address, "etag": etag}), encoding="utf-8")
    else:
        mark.unlink(missing_ok=True)
