"""The authors' weights by name: fetched at first use, held to one SHA-256, and a model folder from then on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from logging import getLogger
from pathlib import Path

from tr2m_plugin.downloading import fetch, home, one_at_a_time
from tr2m_plugin.errors import InputError
from tr2m_plugin.files import read_text, sha256_of, write_whole
from tr2m_plugin.inference.convert import convert_release
from tr2m_plugin.inference.model_folder import CONFIG, FORMAT, WEIGHTS
from tr2m_plugin.models.tr2m.released_weights import read_release
from tr2m_plugin.plain_yaml import parse_yaml
from tr2m_plugin.replacing import read_marked

AUTHORS, PACKAGED = "tr2m_da_small", "tr2m_mini"
"""The models that are taken where none is asked for: the authors', or else the one in the package."""

MIRROR = "TR2M_WEIGHTS_URL"
"""The environment variable with another address of the authors' file."""

_LFS = b"version https://git-lfs"
_LOGGER = getLogger("tr2m_plugin")


@dataclass(frozen=True)
class Release:
    """Weights that were published, and what is known of their file.

    Attributes:
        file: its name.
        repository: address of the page where it is published.
        address: its own.
        lfs_address: where it is if it is kept in Git LFS, of which `address` gives pointers only.
        bytes: the fewest and the most that it may have.
        sha256: its hash; None where none is published.
    """

    file: str
    repository: str
    address: str
    lfs_address: str
    bytes: Sequence[int]
    sha256: str | None

    @property
    def path(self) -> Path:
        """Where the file is kept, also one that somebody puts there."""
        return home() / "weights" / self.file

    @property
    def record(self) -> Path:
        """Where the hash of the first file is kept, as `sha256sum` writes it."""
        return self.path.with_name(f"{self.file}.sha256")

    @property
    def known_hash(self) -> str | None:
        """The hash that the file must have; None before the first one came."""
        recorded = read_text(self.record).split()[:1] if self.record.is_file() else []
        return self.sha256 or next(iter(recorded), None)


@cache
def releases() -> dict[str, Release]:
    """What can be asked for by name."""
    source = Path(__file__).with_name("released.yaml")
    return {name: Release(**facts) for name, facts in parse_yaml(read_text(source), source.name).items()}


def is_released(name: str) -> bool:
    """Whether a model is one of `releases`; a folder of that name goes before."""
    return name in releases() and not Path(name).is_dir()


def find_model(name: str) -> str:
    """Where a model is, as `open_model` takes it: released weights are fetched at first use, other names stay.

    Raises:
        InputError: see `install`.
    """
    if not is_released(name):
        return name
    return str(_folder(name) if is_installed(name) else install(name))


def is_installed(name: str) -> bool:
    """Whether released weights are here as a model folder."""
    folder, wanted = _folder(name), releases()[name].known_hash
    found = read_marked(folder / CONFIG, format=FORMAT) if (folder / WEIGHTS).is_file() else None
    return found is not None and wanted is not None and found.get("about", {}).get("sha256") == wanted


def install(name: str) -> Path:
    """Makes a model folder of released weights, whose file is fetched unless it is there, and looked at if it is.

    Args:
        name: one of `releases`.

    Returns:
        The folder.

    Raises:
        InputError: there is no such release, its file cannot be fetched, or it is another file than the first was.
        UnsafeCheckpointError: the file holds code.
    """
    if name not in releases():
        raise InputError(f"nothing is released as {name!r}: there is {', '.join(releases())}")
    release, folder = releases()[name], _folder(name)
    with one_at_a_time(folder):
        _get(release)
        digest = sha256_of(release.path)
        if not is_installed(name):
            convert_release(release.path, folder)
            write_whole(release.record, lambda partial: partial.write_text(f"{digest}  {release.file}\n"))
    return folder


def _folder(name: str) -> Path:
    return home() / "models" / name


def _get(release: Release) -> None:
    """The release's file at its place, after a check."""
    if release.path.exists():
        try:
            _check(release, release.path)
        except InputError as error:
            named = str(error).startswith(str(release.path))
            raise error if named else type(error)(f"{release.path}: {error}") from error
        return
    address = os.environ.get(MIRROR) or release.address
    _LOGGER.warning(
        "fetching the authors' weights, %d MB, from %s into %s; the authors state no licence: whether you may use them "
        "is for you to judge",
        round(release.bytes[0] / 10**6),
        address,
        release.path,
    )
    hint = f"without a network, put {release.file} of {release.repository} at {release.path}"
    fetch(address, release.path, lambda path: _check(release, path), hint)


def _check(release: Release, path: Path) -> None:
    """Raises an InputError where a file cannot be the release's, or is another one than the first was."""
    with path.open("rb") as file:
        pointer = file.read(len(_LFS)) == _LFS
    if pointer:
        raise InputError(f"it is a Git LFS pointer and not the file: try again with {MIRROR}={release.lfs_address}")
    least, most = release.bytes
    if not least <= (size := path.stat().st_size) <= most:
        raise InputError(f"it has {size} bytes, and the authors' file {least} to {most}: it is another one")
    wanted = release.known_hash
    if wanted and (digest := sha256_of(path)) != wanted:
        known = "that is published"
        if release.sha256 is None:
            known = f"of the first that came; remove {release.record} to take another"
        raise InputError(f"it has changed: its SHA-256 is {digest}, not {wanted}, {known}")
    read_release(path)
