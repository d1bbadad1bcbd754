"""What is on disk of a published dataset: whether it is whole, and what a picture of it looks like."""

from __future__ import annotations

import difflib
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from tr2m_plugin.benchmark.datasets import opening
from tr2m_plugin.benchmark.pairs import spread
from tr2m_plugin.datasets.parquet import check_unique, read_rows
from tr2m_plugin.datasets.readers import load_depth, load_picture, reader_of
from tr2m_plugin.datasets.readers.base import Reader, listed
from tr2m_plugin.description.rsa import read_sentences, rsa_file, rsa_line
from tr2m_plugin.description.templates import colon_fallback
from tr2m_plugin.errors import InputError, attempt
from tr2m_plugin.evaluation.protocols import Protocol, load_protocol
from tr2m_plugin.rows import IndexRow, SentenceRow
from tr2m_plugin.visualization.sample import draw_sample

FAULT = "fault: "
NAMED = 5
"""The most missing files that are named."""


@dataclass
class Report:
    """What was found of a dataset.

    Attributes:
        lines: to print; faults begin with `FAULT`.
        good: whether there is no fault.
    """

    lines: list[str] = field(default_factory=list)
    good: bool = True

    def note(self, line: str) -> None:
        """Adds what is no fault."""
        self.lines.append(line)

    def fault(self, line: str) -> None:
        """Adds a fault."""
        self.lines.append(f"{FAULT}{line}")
        self.good = False


@dataclass
class Decoded:
    """What decoding pictures of a split found.

    Attributes:
        sizes: how often picture and depth had their sizes, (H, W) each, after the crop and sizes of the protocol.
        shares: per picture the share of pixels with depth, and of those that count by the protocol.
        limits: per picture with any depth its smallest and largest, in the dataset's unit.
        empty: sample ids of those without any depth.
        errors: why pictures could not be decoded, by sample id.
    """

    sizes: Counter[tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=Counter)
    shares: list[tuple[float, float]] = field(default_factory=list)
    limits: list[tuple[float, float]] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)


def verify_dataset(
    name: str, root: str, protocol: str = "release", sample: int = 20, options: Mapping[str, Any] = {}
) -> Report:
    """Compares a dataset on disk with what is published of it.

    Pictures are counted by split, and by video where that is published; split files are compared with those that
    everybody has; files that are listed must be there; and some of every split are decoded, evenly spaced, the same
    ones every time. Depth without any measurement is a fault, and so is a split whose decoded depth has no pixel that
    counts. A split of which nothing is there is no fault, unless it is all.

    Args:
        name: one of `READERS`.
        root: its folder.
        protocol: by which files are read and pixels count. Default: release.
        sample: pictures to decode of each split. Default: 20.
        options: options of the reader. Default: those of the protocol.

    Raises:
        InputError: the root, an option or the protocol is wrong, or a list is missing, malformed or has a picture
            twice.
    """
    if sample < 0:
        raise InputError(f"the number of pictures to decode must not be negative, and is {sample}")
    reader, rows, rules = _open(name, root, protocol, options)
    check_unique(rows, name)
    lists = reader.lists()
    missing = reader.missing_files(rows)
    known = [row for row in reader.without(rows, missing) if row.sample_id in reader.unpublished]
    excused = {file for row in known for file in reader.files(row)}
    missing = [file for file in missing if file not in excused]
    lost = {row.sample_id for row in reader.without(rows, missing)}
    whole = [row for row in rows if row.sample_id not in lost]
    given = "".join(f", {option}={value}" for option, value in options.items())
    report = Report([f"{reader.title} in {reader.folder}, protocol {rules.name} {rules.hash}{given}"])
    if not rows:
        report.fault(f"no picture of {reader.title} is there")
    for row in known:
        report.note(f"{row.split}: {row.sample_id} lacks files, which the publisher's archive lacks too")
    complete, unread = True, {row.sample_id for row in known}
    for split, published in reader.published().items():
        listed = any(row.split == split for row in rows)
        there = [row for row in whole if row.split == split]
        complete &= _report_numbers(report, split, Counter(map(reader.video, there)), published, listed)
        if split in lists:
            _report_list(report, split, lists[split], reader.digests.get(split, ()))
        decodable = [row for row in there if row.sample_id not in unread]
        _report_decoded(report, split, reader, _decode(f"{name}, {split}", spread(decodable, sample), rules))
    if missing:
        files = len({file for row in rows for file in reader.files(row)})
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        named = f"{', '.join(missing[:NAMED])}{more}"
        report.fault(f"{len(missing)} of {files} files are not there: {named}; unpack them, or {reader.remedy}")
    if missing or not complete:
        report.note(f"where to get what is not there: {reader.publisher}")
    report.note("no fault" if report.good else f"faults: {sum(line.startswith(FAULT) for line in report.lines)}")
    return report


def _open(name: str, root: str, protocol: str, options: Mapping[str, Any]) -> tuple[Reader, list[IndexRow], Protocol]:
    with opening(name, root):
        kind, rules = reader_of(name), load_protocol(protocol, name)
        reader = kind(**{**rules.reader, **options, "root": str(root)})
        return reader, listed(reader), rules


def _report_numbers(
    report: Report, split: str, found: Mapping[str, int], published: Mapping[str, int], listed: bool
) -> bool:
    """Compares numbers of pictures by video; whether there are as many as published."""
    # videos whose number is not published are not compared
    there, wanted = sum(found.get(video, 0) for video in published), sum(published.values())
    if not listed:
        report.note(f"{split}: not there; {wanted} pictures are published")
        return False
    others = [f"{video} {count}" for video, count in found.items() if video not in published]
    line = f"{split}: {there} of {wanted} pictures" + (f", besides {', '.join(others)}" if others else "")
    off = {video: found.get(video, 0) for video, count in published.items() if found.get(video, 0) != count}
    if not off:
        report.note(line)
        return True
    if "" not in published:
        line += "".join(f", {video} {count} of {published[video]}" for video, count in off.items() if count)
        absent = [video for video, count in off.items() if not count]
        line += f", without {', '.join(absent)}" if absent else ""
    report.fault(line)
    return there >= wanted


def _report_list(report: Report, split: str, path: Path, known: Sequence[str]) -> None:
    digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    verdict = "as published" if digest in known else "differs from the published list"
    report.note(f"{split}: {path.name} {verdict} (MD5 {digest})")


def _pair(row: IndexRow) -> tuple[np.ndarray, np.ndarray]:
    return load_picture(row), load_depth(row)


def _decode(what: str, rows: Sequence[IndexRow], rules: Protocol) -> Decoded:
    decoded = Decoded()
    for row in tqdm(rows, desc=what, unit="picture", mininterval=1, disable=not rows):
        found = attempt(partial(_pair, row), row.sample_id, decoded.errors)
        if found is None:
            continue
        picture, depth = found
        measured = depth[depth > 0]
        decoded.sizes[picture.shape[:2], depth.shape] += 1
        decoded.shares.append((measured.size / depth.size, float(rules.valid(depth).mean())))
        if not measured.size:
            decoded.empty.append(row.sample_id)
        else:
            decoded.limits.append((float(measured.min()), float(measured.max())))
    return decoded


def _report_decoded(report: Report, split: str, reader: Reader, decoded: Decoded) -> None:
    for sample, reason in decoded.errors.items():
        report.fault(f"{split}, {sample}: {reason}")
    if not decoded.shares:
        return
    sizes = [
        f"picture {_size(picture)}, depth {_size(depth)}" + (f" ({count})" if len(decoded.sizes) > 1 else "")
        for (picture, depth), count in decoded.sizes.most_common()
    ]
    report.note(f"{split}: {len(decoded.shares)} decoded, {'; '.join(sizes)}")
    measured, counting = np.mean(decoded.shares, axis=0)
    near = min((near for near, _ in decoded.limits), default=0)
    far = max((far for _, far in decoded.limits), default=0)
    empty = sum(share == 0 for _, share in decoded.shares)
    line = (
        f"{split}: {measured:.1%} of the pixels have depth, {near:.4g} to {far:.4g} {reader.unit}; {counting:.1%} are "
        f"in the protocol's range and window; pictures without such a pixel: {empty}"
    )
    (report.fault if empty == len(decoded.shares) else report.note)(line)
    for sample in decoded.empty[:NAMED]:
        report.fault(f"{split}, {sample}: its depth holds no measurement")
    if len(decoded.empty) > NAMED:
        report.fault(f"{split}: {len(decoded.empty) - NAMED} more depth maps hold no measurement")


def _size(size: Sequence[int]) -> str:
    return " × ".join(map(str, size))


def show_sample(
    name: str,
    root: str,
    sample: str,
    out: Path,
    protocol: str = "release",
    descriptions: Sequence[Path] = (),
    options: Mapping[str, Any] = {},
) -> Path:
    """Writes a picture of a dataset with its depth, what of that counts, and its descriptions as a PNG.

    Args:
        name: one of `READERS`.
        root: its folder.
        sample: sample id, or position in the dataset's order over all its splits, from 0.
        out: PNG file.
        protocol: by which files are read and pixels count. Default: release.
        descriptions: see `find_sentences`. Default: none.
        options: options of the reader. Default: those of the protocol.

    Returns:
        The file.

    Raises:
        InputError: see `verify_dataset`; or there is no such sample, and the message names those with similar ids; or
            its files are missing or unreadable.
    """
    reader, rows, rules = _open(name, root, protocol, options)
    row = _choose(reader, rows, str(sample))
    sentences = find_sentences(row, descriptions)
    title = f"{reader.title}, {row.split}: {row.sample_id}"
    draw_sample(out, title, load_picture(row), load_depth(row), reader.unit, rules, sentences)
    return out


def find_sentences(row: IndexRow, tables: Sequence[Path] = ()) -> list[tuple[str, str]]:
    """The descriptions of a picture with their source.

    Args:
        row: a row of the index.
        tables: Parquet files of descriptions, or RSA's folder `text`. Default: none.

    Returns:
        Source and sentence, in the order of the tables; where they have none, the colon template for C3VD and SimCol3D.

    Raises:
        InputError: a table is missing or is none.
    """
    found: list[tuple[str, str]] = []
    for path in tables:
        if path.is_dir():
            file = rsa_file(path, row)
            lines = read_sentences(file) if file.is_file() else []
            found += [(f"rsa, {rsa_line(number)['model']}", text) for number, text in enumerate(lines)]
        else:
            table = read_rows(path, SentenceRow)
            found += [(line.source, line.text) for line in table if line.key == row.key]
    return found or [(line.source, line.text) for line in colon_fallback(row)]


def _choose(reader: Reader, rows: Sequence[IndexRow], sample: str) -> IndexRow:
    if not rows:
        raise InputError(f"{reader.folder} holds no picture of {reader.title}: {reader.publisher}")
    by_id = {row.sample_id: row for row in rows}
    if sample in by_id:
        return by_id[sample]
    if sample.isdecimal() and int(sample) < len(rows):
        return rows[int(sample)]
    if sample.isdecimal():
        raise InputError(f"{reader.title} has {len(rows)} pictures there, from 0 to {len(rows) - 1}, and no {sample}")
    near = difflib.get_close_matches(sample, by_id, 3, 0.3) or list(by_id)[:3]
    raise InputError(f"{reader.title} has no picture {sample!r} there; the nearest are {', '.join(near)}")
