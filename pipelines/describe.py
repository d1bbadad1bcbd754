"""Stage `describe`: sentences about every picture, by those who look at none and, as Ray jobs, by networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.networks import weights_digest
from pipelines.params import Stage, run_stage
from pipelines.sharded import remove_others, run_sharded
from pipelines.shards import Failure, Processor, settings_of
from pipelines.stamps import picture_stamp, stamped_row
from tr2m_plugin.datasets.parquet import dataset_names, read_rows, write_rows
from tr2m_plugin.datasets.readers import load_picture
from tr2m_plugin.description.describers import DESCRIBERS, Registered, check_role, make_describer
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import DescriptionRow, IndexRow, PictureRow

DESCRIBERS["SceneGraph"] = Registered("pipelines.mini_world.scene_graph.SceneGraph", "text")


class PictureProcessor:
    """A network that looks at pictures, in a worker.

    Args:
        kind: its type, one of `DESCRIBERS`.
        options: what its constructor takes.
        root: folder that the index's references are relative to.
        device: torch device.
    """

    def __init__(self, kind: str, options: dict[str, Any], root: str, device: str) -> None:
        self.network = make_describer(kind, options, device, root)
        self.root = Path(root)

    def load(self, stamp: dict[str, Any]) -> tuple[IndexRow, np.ndarray]:
        """A row and its picture, (H, W, 3) uint8 RGB."""
        row = stamped_row(stamp, self.root)
        return row, load_picture(row)


class DescribeProcessor(PictureProcessor):
    """Pictures in, rows of the table of descriptions out."""

    def compute(self, items: list[tuple[IndexRow, np.ndarray]]) -> list[list[DescriptionRow] | Failure]:
        """The rows of each picture."""
        found = self.network.each([row for row, _ in items], [image for _, image in items])
        return [Failure(str(lines)) if isinstance(lines, InputError) else lines for lines in found]


def run_network(make_processor: Callable[..., Processor], kind: type[PictureRow], run: Stage, folder: Path) -> None:
    """Runs a section's network on every picture of its datasets, as a resumable Ray job.

    Args:
        make_processor: `DescribeProcessor` or one like it.
        kind: kind of the rows that it makes.
        run: the stage's; its params are the network's type and options, `datasets`, and the engine's settings under
            `engine`.
        folder: where the shards go.

    Raises:
        InputError: an option of the engine is unknown, or more pictures failed than it allows.
    """
    options = {name: value for name, value in run.params.items() if name not in ("type", "engine", "datasets")}
    settings = settings_of(run.params.get("engine") or {}, f"{folder.name}.engine")
    network, weights = run.params["type"], options.get("model") or options.get("weights") or ""
    run_sharded(
        f"{folder.parent.name} {folder.name}",
        [picture_stamp(row, run.root) for row in _indexed(run, run.params)],
        make_processor,
        {"kind": network, "options": options, "root": str(run.root.resolve())},
        [network, _apart(network, options), weights_digest(weights) if weights else ""],
        folder,
        settings,
        kind,
    )


def _apart(network: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options without those that no result depends on."""
    return {name: value for name, value in options.items() if name not in DESCRIBERS[network].aside}


def _indexed(run: Stage, entry: Mapping[str, Any]) -> list[IndexRow]:
    """Rows of the index, of an entry's datasets where it names any."""
    wanted = dataset_names(entry.get("datasets"))
    return [row for row in read_rows(run.root / "index.parquet", IndexRow) if not wanted or row.dataset in wanted]


def stage(run: Stage) -> None:
    """Describes every picture that an item's datasets name.

    An item's section is a captioner with its options, whose shards go into `described/ITEM`; or a list of describers
    that look at no picture, whose sentences go into `described/ITEM/texts.parquet`; or empty.
    """
    folder = run.root / "described" / (run.item or "texts")
    folder.mkdir(parents=True, exist_ok=True)
    kind = run.params.get("type")
    if kind is not None:
        check_role(kind, "captioner", f"describe.{folder.name}")
        run_network(DescribeProcessor, DescriptionRow, run, folder)
        return
    remove_others(folder, {"texts.parquet"})  # a captioner's that the section no longer names
    count = 0

    def texts() -> Iterator[DescriptionRow]:
        nonlocal count
        for entry in run.params.get("describers") or []:
            for row in _texts(entry, run, folder.name):
                count += 1
                yield row

    write_rows(folder / "texts.parquet", DescriptionRow, texts())
    print(f"describe {folder.name}: {count} sentences")


def _texts(entry: Mapping[str, Any], run: Stage, item: str) -> Iterator[DescriptionRow]:
    kind = entry.get("type")
    check_role(kind, "text", f"describe.{item}")
    rows = _indexed(run, entry)
    if not rows:
        return
    options = {name: value for name, value in entry.items() if name not in ("type", "datasets")}
    describer = make_describer(str(kind), options, root=str(run.root))
    seed = options.get("seed", 0)
    for row in rows:
        for line in describer.describe([row]):
            yield replace(line, model=line.model or kind, seed=seed if line.seed is None else line.seed)


if __name__ == "__main__":
    run_stage("describe", __doc__, stage, items=True)
