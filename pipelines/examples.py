"""What the report shows of single pictures: those on which TR2M is best, average and worst."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.estimators import TableTR2M
from tr2m_plugin.benchmark.evaluation import Evaluation
from tr2m_plugin.benchmark.results import pick_examples
from tr2m_plugin.datasets.arrays import write_shard
from tr2m_plugin.datasets.parquet import sample_key, write_rows
from tr2m_plugin.datasets.readers import load_depth
from tr2m_plugin.rows import IndexRow, PictureRow


@dataclass(frozen=True, kw_only=True)
class ExampleRow(PictureRow):
    """A picture that the report shows.

    Attributes:
        rank: best, median or worst by AbsRel of TR2M, or only.
        text: the sentence that it was predicted with.
        unit: unit of its depth.
        abs_rel: AbsRel of TR2M.
    """

    rank: str
    text: str
    unit: str
    abs_rel: float


def example_arrays(row: IndexRow, tr2m: TableTR2M, text: str) -> dict[str, np.ndarray]:
    """What a panel of the report shows, by name."""
    image, relative = tr2m.read(row)
    (sample,) = tr2m.samples([(image, relative)], [text])
    return {
        "image": image.round().astype(np.uint8),
        "relative": relative,
        "scale": sample.scale_map.data[0].numpy(),
        "shift": sample.shift_map.data[0].numpy(),
        "pred": sample.pred_depth_map.data[0].numpy(),
        "truth": load_depth(row),
    }


def write_examples(folder: Path, evaluation: Evaluation, tr2m: TableTR2M) -> None:
    """Writes what the report shows of the pictures on which TR2M is best, average and worst."""
    by_key = {row.key: row for data in evaluation.datasets for row in data.rows}
    texts = evaluation.sentences()["right"]
    arrays, table = {}, []
    for ranks in pick_examples(evaluation.found.rows, tr2m.facts.label).values():
        for rank, found in ranks.items():
            row, text = by_key[sample_key(found)], texts[sample_key(found)] or ""
            example = ExampleRow(
                dataset=row.dataset,
                sample_id=row.sample_id,
                rank=rank,
                text=text,
                unit=row.unit,
                abs_rel=found["abs_rel"],
            )
            table.append(example)
            for name, array in example_arrays(row, tr2m, text).items():
                arrays[f"{found['dataset']}/{rank}/{name}"] = array
    write_rows(folder / "examples.parquet", ExampleRow, table)
    write_shard(folder / "examples.safetensors", arrays)
