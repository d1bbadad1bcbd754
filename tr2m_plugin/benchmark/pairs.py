"""Whether depth can be measured and learnt from: looked at before anything is computed from it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby

import numpy as np
from tqdm import tqdm

from tr2m_plugin.datasets.arrays import is_reference
from tr2m_plugin.datasets.readers import headers_agree, load_depth
from tr2m_plugin.errors import InputError, attempt
from tr2m_plugin.evaluation.protocols import Protocol
from tr2m_plugin.rows import IndexRow

SAMPLE = 20
"""Depth maps that are decoded of each split of a published dataset, and looked at before an evaluation."""

FACTORS = (0.001, 1 / 256, 0.0001, 1 / 5000, 1.0, 0.01, 1000.0)
"""From stored numbers to metres or millimetres, the usual ones first."""

STEP = 8
"""Every eighth pixel of a depth map, down and across, is enough for its median."""


@dataclass
class Depths:
    """What depth maps of a dataset hold.

    Attributes:
        shares: of each decoded map, what share of its pixels has depth and what share counts.
        medians: median depth of each that has any, in the dataset's unit.
        failed: why pairs cannot be used, by sample id.
    """

    shares: list[tuple[float, float]] = field(default_factory=list)
    medians: list[float] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """In a few words."""
        if not self.shares:
            return "no depth map decoded"
        counting = [share for _, share in self.shares]
        empty = f", {counting.count(0)} maps without such a pixel" if 0 in counting else ""
        return f"{len(counting)} depth maps decoded, {np.mean(counting):.1%} of their pixels count{empty}"


def look(rows: Sequence[IndexRow], protocol: Protocol, name: str, thorough: bool | None = None) -> Depths:
    """Looks at the depth of a dataset's rows, in threads, with a bar.

    Args:
        rows: rows of one dataset, with names that can be opened; those without depth are passed over.
        protocol: by which pixels count.
        name: name of the dataset.
        thorough: whether every depth map is decoded. Default: those of a folder of one's own are; of the others
            `SAMPLE` of each split, evenly spread, and of the rest the headers of depth and picture are compared.
    """
    found, rows = Depths(), [row for row in rows if row.depth is not None]
    if thorough is None:
        thorough = all(row.reader is None and not is_reference(row.truth) for row in rows)
    by_split = groupby(sorted(rows, key=lambda row: row.split), key=lambda row: row.split)
    chosen = {row.sample_id for _, group in by_split for row in spread(list(group), SAMPLE)}

    def one(row: IndexRow) -> tuple[float, float, float] | None:
        if not (thorough or row.sample_id in chosen) and headers_agree(row):
            return None
        return attempt(partial(_measure, row, protocol), row.sample_id, found.failed)

    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as threads:
        bar = tqdm(
            threads.map(one, rows), total=len(rows), desc=f"{name}, look at depth", unit="picture", mininterval=1
        )
        for measured in bar:
            if measured is not None:
                found.shares.append(measured[:2])
                found.medians += [measured[2]] if measured[0] else []
    return found


def _measure(row: IndexRow, protocol: Protocol) -> tuple[float, float, float]:
    depth = load_depth(row)
    some = depth[::STEP, ::STEP]
    some = some if (some > 0).any() else depth
    median = float(np.median(some[some > 0])) if (some > 0).any() else 0.0
    return float((depth > 0).mean()), float(protocol.valid(depth).mean()), median


def refuse_empty(found: Depths, row: IndexRow, protocol: Protocol, name: str) -> None:
    """Raises an InputError where none of the decoded depth maps has a pixel that counts, and says why that may be.

    Args:
        found: what was found of the dataset.
        row: one of its rows.
        protocol: by which pixels count.
        name: name of the dataset.
    """
    if not found.shares or any(counting for _, counting in found.shares):
        return
    maps = f"the {len(found.shares)} depth maps looked at"
    if not found.medians:
        raise InputError(f"{name}: none of {maps} has a measurement: every stored number is 0, invalid or masked")
    low, high = protocol.depth_range
    unit, median, scale = row.unit, float(np.median(found.medians)), row.depth_scale
    line = f"{name}: no pixel of {maps} is in the range {low:g} to {high:g} {unit}"
    if row.reader or not scale:
        raise InputError(f"{line}; their median is {median:.4g} {unit}: are they the published files?")
    stored = median / scale
    likely = next((factor for factor in FACTORS if factor != scale and low < stored * factor < high), None)
    hint = (
        "correct depth_scale, unit or depth_range"
        if likely is None
        else f"did you mean depth_scale {likely:g}, which makes it {stored * likely:.4g} {unit}?"
    )
    raise InputError(
        f"{line}: the median stored number is {stored:.4g}, which depth_scale {scale:g} makes {median:.4g} {unit}; "
        f"{hint}"
    )


def spread(items: Sequence[IndexRow], count: int, seed: int = 0) -> list[IndexRow]:
    """Some items in their order, one drawn from each of as many equal stretches; all if there are no more."""
    if count >= len(items):
        return list(items)
    edges = np.linspace(0, len(items), count + 1).astype(int)
    return [items[number] for number in np.random.default_rng(seed).integers(edges[:-1], edges[1:])]
