"""Datasets by name: their rows of the index by a protocol, and checks of what is on disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tr2m_plugin.benchmark.pairs import SAMPLE, look, refuse_empty, spread
from tr2m_plugin.checks import is_name
from tr2m_plugin.datasets.parquet import check_unique
from tr2m_plugin.datasets.readers import READERS, reader_of
from tr2m_plugin.datasets.rgbd_folder import RGBDFolder
from tr2m_plugin.errors import InputError, TR2MError, reason_of
from tr2m_plugin.evaluation.protocols import Protocol, load_protocol, name_protocol, protocol_of
from tr2m_plugin.files import read_text
from tr2m_plugin.plain_yaml import parse_yaml
from tr2m_plugin.rows import IndexRow

FOLDER = "RGBDFolder"
READING = ("crop", "picture_size", "depth_size", "mask", "encoding", "filled", "planar")
"""Options of readers that change what is read, and so belong to the protocol."""

CHOOSING = ("split", "test_list", "split_file", "split_csv")
"""Options of readers that say which pictures belong to a split."""


def index_dataset(entry: Mapping[str, Any], protocol: str = "release") -> list[IndexRow]:
    """Rows of a dataset, with the protocol by which they are evaluated.

    Args:
        entry: `type`, a name of `READERS` or RGBDFolder, and the reader's options, `root` among them. What is not
            given is taken from the protocol.
        protocol: protocol of published datasets. Default: release.

    Raises:
        InputError: the type or an option is unknown, or see `Reader.index`.
    """
    options = dict(entry)
    kind = options.pop("type", None)
    with opening(kind, options.get("root")):
        if kind == FOLDER:
            return RGBDFolder(**options).index()
        if kind not in READERS:
            raise InputError(f"type must be one of {', '.join((*READERS, FOLDER))}, not {kind!r}")
        reader, rules = reader_of(kind), load_protocol(protocol, kind)
        made = reader(**{**rules.reader, **options})
        rows = made.index()
    usual = {name: rules.reader.get(name, found.default) for name, found in reader.__dataclass_fields__.items()}
    read = {name: getattr(made, name) for name in READING if name in options}
    changes = {name: value for name, value in read.items() if value != usual[name]}
    named = name_protocol(protocol, {"reader": changes} if changes else {})
    low, high = rules.depth_range
    return [replace(row, protocol=named, depth_min=low, depth_max=high) for row in rows]


@contextmanager
def opening(kind: Any, root: Any) -> Iterator[None]:
    """A block that makes a reader and lists its pictures.

    Args:
        kind: type of the dataset, for messages.
        root: its folder, for messages.

    Raises:
        InputError: an option is unknown, the reader's class is not what it should be, or a file in it broken.
    """
    try:
        yield
    except TR2MError:
        raise
    except TypeError as error:  # an option that there is not
        raise InputError(f"{kind}: {error}") from error
    except Exception as error:  # what other files in their place make of a reader is anybody's guess
        raise InputError(f"{kind} in {root} cannot be read: {reason_of(error)}") from error


def read_entries(path: Path, profile: str = "paper") -> dict[str, dict[str, Any]]:
    """Dataset entries by name, from a YAML file.

    Args:
        path: a list of entries as `index_dataset` takes them; a mapping of names to roots or entries; or a params.yaml,
            whose profile's `index.datasets` are taken.
        profile: a profile of params.yaml. Default: paper.

    Raises:
        InputError: the file is missing or is none of these.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist: it says where the datasets are (see the README)")
    content = parse_yaml(read_text(path), str(path), aliases=True)
    try:
        if isinstance(content, Mapping) and "profiles" in content:
            content = content["profiles"][profile]["index"]["datasets"]
        if isinstance(content, Mapping):
            return {name: name_entry(name, value) for name, value in content.items()}
        named = [(entry.get("name") or entry["type"], dict(entry)) for entry in content]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} holds no dataset entries ({type(error).__name__}: {error})") from error
    twice = sorted(name for name, times in Counter(name for name, _ in named).items() if times > 1)
    if twice:
        raise InputError(f"{path} lists {', '.join(twice)} twice: give the entries a `name` each")
    return {name: {k: v for k, v in entry.items() if k != "name" or entry["type"] == FOLDER} for name, entry in named}


def name_entry(name: str, value: str | Mapping[str, Any] | None) -> dict[str, Any]:
    """An entry from a name and a root, or the options with a root; a folder of one's own is named so."""
    options = {"root": value} if value is None or isinstance(value, str) else dict(value)
    kind = options.pop("type", name)
    return {"type": kind, **({"name": name} if kind == FOLDER else {}), **options}


def choose_entries(wanted: Sequence[str], path: Path | None, profile: str = "paper") -> dict[str, dict[str, Any]]:
    """The entries of some datasets.

    Args:
        wanted: names, or NAME=ROOT; empty for all of the file that have a root.
        path: file for `read_entries`, needed for names without a root. Default: none.
        profile: see `read_entries`.

    Raises:
        InputError: a name has no root, or the file has no dataset with one.
    """
    chosen: dict[str, dict[str, Any]] = {}
    plain = [name for name in wanted if "=" not in name]
    known = read_entries(path, profile) if path is not None and (plain or not wanted) else {}
    for item in wanted or [name for name, entry in known.items() if entry.get("root")]:
        name, mark, root = item.partition("=")
        if mark:
            chosen[name] = name_entry(name, root)
        elif not known.get(name, {}).get("root"):
            where = f"{path} gives it none" if path is not None else "there is no file of roots"
            raise InputError(f"{name} has no root: {where}; write {name}=FOLDER")
        else:
            chosen[name] = known[name]
    if not chosen:
        where = f"{path} gives no dataset a root" if path is not None else "there is no file of roots"
        raise InputError(f"{where}: name datasets as NAME=FOLDER")
    return chosen


@dataclass
class Dataset:
    """A dataset to evaluate on.

    Attributes:
        name: as results call it.
        rows: rows of its test split.
        protocol: by which it is measured.
        published: how many pictures it is published with; None for a folder of one's own.
        chosen: whether its entry says which pictures belong to it, and not the publisher.
        failed: why pictures or their truth could not be read, by sample id.
    """

    name: str
    rows: list[IndexRow]
    protocol: Protocol
    published: int | None = None
    chosen: bool = False
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def unit(self) -> str:
        """Unit of its depth, "m" or "mm"."""
        return self.rows[0].unit

    @property
    def kind(self) -> str:
        """Kind of its results: reproduced for a whole published dataset with an unchanged protocol, else a fixture."""
        return result_kind(self.rows[0].reader, len(self.rows), self.protocol, self.chosen)

    @property
    def facts(self) -> dict[str, Any]:
        """What its results say of it."""
        facts = {"unit": self.unit, "protocol": self.protocol.name, "protocol_hash": self.protocol.hash}
        return {**facts, "published": self.published} if self.published is not None else facts


def result_kind(reader: str | None, count: int, protocol: Protocol, chosen: bool = False) -> str:
    """What a result is: reproduced when a published dataset is whole and its protocol the package's, else a fixture.

    Args:
        reader: name of the dataset's reader; None for a folder of one's own.
        count: number of its pictures.
        protocol: by which they are measured.
        chosen: whether the pictures are another choice than the publisher's. Default: False.
    """
    whole = reader is not None and reader_of(reader).is_whole(count) and not chosen
    return "reproduced" if whole and protocol.published else "fixture"


def datasets_of(rows: Sequence[IndexRow]) -> list[Dataset]:
    """The datasets of rows of an index, in the order of their first rows, each measured by the protocol it names."""
    by_name: dict[str, list[IndexRow]] = {}
    for row in rows:
        by_name.setdefault(row.dataset, []).append(row)
    published = {name: reader_of(of[0].reader).counts.get("test") for name, of in by_name.items() if of[0].reader}
    return [Dataset(name, of, protocol_of(of[0]), published.get(name)) for name, of in by_name.items()]


def open_datasets(
    entries: Mapping[str, Mapping[str, Any]],
    protocol: str = "release",
    changes: Mapping[str, Any] = {},
    limit: int | None = None,
) -> list[Dataset]:
    """The test splits of dataset entries.

    Args:
        entries: by name; see `index_dataset`.
        protocol: protocol of published datasets. Default: release.
        changes: options of the protocols that differ. Default: none.
        limit: the most images of a dataset, evenly spaced. Default: all.

    Raises:
        InputError: see `index_dataset`; or a dataset has no test split, pictures without depth, one twice, or no pixel
            of some of its depth maps counts.
    """
    reading, rest = changes.get("reader", {}), {name: value for name, value in changes.items() if name != "reader"}
    if not isinstance(reading, Mapping):
        raise InputError(f"reader takes options by name, such as reader.crop=kb, not {reading!r}")
    opened = []
    for name, entry in entries.items():
        folder = entry["type"] == FOLDER
        if not is_name(name):
            raise InputError(f"a dataset cannot be called {name!r}: it takes printable characters without a slash")
        if folder and reading:
            raise InputError(f"{name} is a folder of one's own: its entry says how it is read, not --set reader")
        rows = index_dataset({**({} if folder else {"splits": ["test"]}), **entry, **reading}, protocol)
        rows = [row for row in rows if row.split == "test"]
        if not rows:
            raise InputError(f"{name} has no picture in the split test")
        if any(row.depth is None for row in rows):
            raise InputError(f"{name} has pictures without depth, which nothing can be measured on")
        check_unique(rows, name)
        if limit is not None and len(rows) > limit:
            rows = [rows[int(i)] for i in np.linspace(0, len(rows) - 1, limit)]
        measured = protocol_of(rows[0]).changed(rest)
        refuse_empty(look(spread(rows, SAMPLE), measured, name, thorough=True), rows[0], measured, name)
        published = None if folder else reader_of(entry["type"]).counts.get("test")
        chosen = any(entry.get(option) for option in CHOOSING)
        opened.append(Dataset(name, rows, measured, published, chosen))
    return opened
