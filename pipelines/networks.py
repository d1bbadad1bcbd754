"""Which network's weights a stage's results were made with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.params import digest_files
from tr2m_plugin.datasets.parquet import read_metadata
from tr2m_plugin.errors import InputError
from tr2m_plugin.weights import resolve_pretrained

MADE_BY = "pretrained"
"""Where the metadata of a table name the network that it was made with."""


def weights_digest(pretrained: str) -> str:
    """A hash of a local network's files, or of its one file; a hub id stands for itself."""
    folder = Path(resolve_pretrained(pretrained))
    if folder.is_file():
        return digest_files([folder])
    if not folder.is_dir():
        return pretrained
    return digest_files(sorted(p for p in folder.iterdir() if p.suffix in (".json", ".safetensors")))


def made_by(model: Mapping[str, Any]) -> dict[str, str]:
    """What a table says of the network that it was made with; nothing of one by default."""
    return {MADE_BY: model["pretrained"]} if "pretrained" in model else {}


def check_made_by(table: Path, wanted: Mapping[str, Any] | None, what: str) -> None:
    """Raises an InputError where a table was made with another network than the options of one say.

    Args:
        table: with `made_by` in its metadata; nothing is checked without.
        wanted: options of the network that predictions will be made with.
        what: it is, for the message.
    """
    made = read_metadata(table).get(MADE_BY) if table.is_file() else None
    named = (wanted or {}).get("pretrained")
    if made and named and made != named and weights_digest(made) != weights_digest(named):
        raise InputError(
            f"{table} was made with {made}, but the config's {what} is {named}: give both the same network"
        )
