"""Stage `relative_depth`: the frozen relative depth network on every picture, once, as a Ray job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.networks import made_by, weights_digest
from pipelines.params import Stage, code_digest, package_files, run_stage
from pipelines.sharded import run_sharded
from pipelines.shards import settings_of
from pipelines.stamps import picture_stamp, stamped_row
from tr2m_plugin.checks import is_name
from tr2m_plugin.datasets.parquet import read_rows
from tr2m_plugin.datasets.readers import load_picture
from tr2m_plugin.errors import InputError
from tr2m_plugin.evaluation import protocol_of
from tr2m_plugin.rows import IndexRow

CODE = (
    "datasets/arrays.py",
    "datasets/decoding.py",
    "datasets/pictures.py",
    "datasets/readers",
    "models/frozen/encoders.py",
    "models/frozen/preprocessing.py",
    "models/frozen/relative_depth.py",
    "tensors.py",
)
"""What of the package reads pictures and what maps are made by: where it does something else, they are made anew."""


class RelativeDepthProcessor:
    """Pictures in, relative depth maps out, in half precision.

    Args:
        model: options of `tr2m_plugin.models.RelativeDepth`.
        root: folder that the index's references are relative to.
        device: torch device.
        sizes: height and width of the maps of datasets that differ from the model's `size`, by name. Default: none.
    """

    def __init__(
        self, model: dict[str, Any], root: str, device: str, sizes: dict[str, Sequence[int]] | None = None
    ) -> None:
        from tr2m_plugin.models import RelativeDepth

        self.model = RelativeDepth(**model).to(device)
        self.root = Path(root)
        self.sizes = sizes or {}

    def load(self, row: dict[str, Any]) -> tuple[np.ndarray, Sequence[int] | None]:
        """Reads a picture; with it goes the size of its map where its dataset has one of its own."""
        return load_picture(stamped_row(row, self.root)), self.sizes.get(row["dataset"])

    def compute(self, items: list[tuple[np.ndarray, Sequence[int] | None]]) -> list[np.ndarray]:
        """Relative depth of a batch, (h, w) float16 each."""
        maps: list[np.ndarray] = []
        for size, group in groupby(items, key=lambda item: item[1]):
            depth = self.model.predict([image for image, _ in group], size)[:, 0].cpu().numpy()
            largest = float(np.abs(depth).max(initial=0))
            if not largest < float(np.finfo(np.float16).max):
                raise InputError(f"the network's output reaches {largest:g}, which half precision cannot hold")
            maps.extend(depth.astype(np.float16))
        return maps


def protocol_sizes(rows: Sequence[IndexRow]) -> dict[str, list[int]]:
    """The size of the network's input of every dataset whose protocol gives one."""
    firsts = {row.dataset: row for row in reversed(rows) if row.protocol}
    found = {name: protocol_of(row).input_size for name, row in sorted(firsts.items())}
    return {name: list(size) for name, size in found.items() if size is not None}


def stage(run: Stage) -> None:
    """Computes what is missing; the networks of `more` write into folders of their names beside the shards."""
    from tr2m_plugin.models import RelativeDepth
    from tr2m_plugin.trusted import brief, check_options

    params = dict(run.params)
    models = {"": params.pop("model", None), **(params.pop("more", None) or {})}
    for name, model in models.items():
        if name and not is_name(name):
            raise InputError(f"relative_depth.more: {name!r} cannot be the name of a folder")
        if not isinstance(model, Mapping):
            raise InputError(f"relative_depth.{name or 'model'} must be the options of a network, not {brief(model)}")
        check_options(RelativeDepth, model, f"relative_depth.more.{name}" if name else "relative_depth.model")
    given = params.pop("sizes", None) or {}
    settings = settings_of(params, "relative_depth")
    indexed = read_rows(run.root / "index.parquet", IndexRow)
    sizes = {**protocol_sizes(indexed), **given}
    rows = [picture_stamp(row, run.root) for row in indexed]
    code = [code_digest(path) for path in package_files(CODE)]
    for name, model in models.items():
        run_sharded(
            f"relative_depth {name}".strip(),
            rows,
            RelativeDepthProcessor,
            {"model": model, "root": str(run.root.resolve()), "sizes": sizes},
            [model, sizes, weights_digest(model["pretrained"]), code],
            run.root / "relative_depth" / name,
            settings,
            about=made_by(model),
        )


if __name__ == "__main__":
    run_stage("relative_depth", __doc__, stage)
