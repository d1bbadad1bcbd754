"""Stage `relative_depth`: the frozen relative depth network on every picture, once, as a Ray job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipelines.params import Stage, digest_files, run_stage
from pipelines.sharded import Settings, run_sharded
from tr2m_plugin.datasets.arrays import is_reference, read_image
from tr2m_plugin.datasets.tables import INDEX, read_table
from tr2m_plugin.errors import InputError
from tr2m_plugin.weights import resolve_pretrained


class RelativeDepthProcessor:
    """Pictures in, relative depth maps out, in half precision.

    Args:
        model: options of `tr2m_plugin.models.RelativeDepth`.
        root: folder that the index's references are relative to.
        device: torch device.
    """

    def __init__(self, model: dict[str, Any], root: str, device: str) -> None:
        from tr2m_plugin.models import RelativeDepth

        self.model = RelativeDepth(**model).to(device)
        self.root = Path(root)

    def load(self, row: dict[str, Any]) -> np.ndarray:
        """Reads a picture."""
        source = row["image"]
        absolute = Path(source).is_absolute()
        return read_image(source if absolute else str(self.root / source))

    def compute(self, items: list[np.ndarray]) -> list[np.ndarray]:
        """Relative depth of a batch, (h, w) float16 each."""
        depth = self.model(items)[:, 0].cpu().numpy()
        largest = float(np.abs(depth).max(initial=0))
        if not largest < float(np.finfo(np.float16).max):
            raise InputError(f"the network's output reaches {largest:g}, which half precision cannot hold")
        return list(depth.astype(np.float16))


def weights_digest(pretrained: str) -> str:
    """A hash of a local network's files; a hub id stands for itself, with its revision."""
    folder = Path(resolve_pretrained(pretrained))
    if not folder.is_dir():
        return pretrained
    return digest_files(sorted(p for p in folder.iterdir() if p.suffix in (".json", ".safetensors")))


def picture_stamp(row: dict[str, Any], root: Path) -> dict[str, Any]:
    """What a row's result depends on: its picture, and for a file its size and time of change."""
    kept = {name: row[name] for name in ("dataset", "sample_id", "image")}
    file = Path(row["image"].partition("#")[0] if is_reference(row["image"]) else row["image"])
    path = file if file.is_absolute() else root / file
    if path.is_file():
        stat = path.stat()
        kept["stamp"] = [stat.st_size] if is_reference(row["image"]) else [stat.st_size, stat.st_mtime_ns]
    return kept


def stage(run: Stage) -> None:
    """Computes what is missing."""
    params = dict(run.params)
    model = params.pop("model")
    try:
        settings = Settings(**params)
    except TypeError as error:
        raise InputError(f"relative_depth: {error}") from error
    rows = [picture_stamp(row, run.root) for row in read_table(run.root / "index.parquet", INDEX)]
    run_sharded(
        "relative_depth",
        rows,
        RelativeDepthProcessor,
        {"model": model, "root": str(run.root.resolve())},
        [model, weights_digest(model["pretrained"])],
        run.root / "relative_depth",
        settings,
    )


if __name__ == "__main__":
    run_stage("relative_depth", __doc__, stage)
