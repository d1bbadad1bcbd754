"""The captions that TR2M's authors published for the test pictures of KITTI and VOID, which are in RSA's format."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import tarfile
import zlib
from logging import getLogger
from pathlib import Path

from tr2m_plugin.description.rsa import TEXTS, read_rsa
from tr2m_plugin.downloading import fetch, home, one_at_a_time
from tr2m_plugin.errors import InputError

ADDRESS = "https://codeload.github.com/BeileiCui/TR2M/tar.gz/a5a91901db5f08bd1d3cd9f60656de5dd6e87826"
"""The authors' repository at the commit that has the captions; the bytes of such archives are not promised to stay."""

MIRROR = "TR2M_CAPTIONS_URL"
"""The environment variable with another address of the archive."""

_NAME = re.compile(rf"[^/]+/text/{TEXTS}/((?:kitti|void)/test/[\w./-]+\.txt)")
_LARGEST = 100_000  # bytes; a file of fifteen sentences has 2,000
_LOGGER = getLogger("tr2m_plugin")


def install_captions() -> Path:
    """Fetches the captions unless they are there.

    Lists of one line per picture, which the authors' code names for other datasets, are not known to be published.

    Returns:
        A folder as RSA's `text`, which `--text-tables` takes.

    Raises:
        InputError: the archive cannot be fetched, or holds no such captions.
    """
    folder = home() / "captions"
    archive = folder.with_name("captions.tar.gz")
    with one_at_a_time(folder):
        if not folder.is_dir():
            address = os.environ.get(MIRROR) or ADDRESS
            _LOGGER.warning(
                "fetching the authors' captions from %s, their whole repository, into %s; the authors state no "
                "licence: whether you may use them is for you to judge",
                address,
                folder,
            )
            hint = f"without a network, put the folder {TEXTS} of the repository's folder text into {folder}"
            fetch(address, archive, lambda found: _unpack(found, folder), hint)
            archive.unlink()
    return folder


def _unpack(archive: Path, folder: Path) -> None:
    """Makes the folder of an archive's captions, whole or not at all.

    Raises:
        InputError: the archive cannot be read, or they are not what they should be.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
    try:
        with gzip.open(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as members:
            for member in members:
                found = _NAME.fullmatch(member.name)
                if found and ".." not in member.name and member.isfile() and member.size <= _LARGEST:
                    path = partial / TEXTS / found[1]
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(members.extractfile(member).read())  # type: ignore[union-attr]
            while stream.read(2**20):  # to its checksum, since tarfile takes what is cut off for the end
                pass
        partial.mkdir(parents=True, exist_ok=True)
        for _ in read_rsa(partial):
            pass
        os.replace(partial, folder)
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"it is no readable archive ({error})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
