"""What a few known depths are worth: AbsRel of a model without anchors, with 5, 20 and 100, and with the whole truth.

    python -m benchmarks.anchors --datasets lab --roots roots.yaml

Datasets are given as to `tr2m evaluate`, such as a folder of one's own (docs/datasets.md). Anchors are drawn at random
among the pixels that count, three times; a picture whose anchors are refused keeps its prediction, and is counted.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from tr2m_plugin.benchmark.datasets import Dataset, choose_entries, open_datasets
from tr2m_plugin.datasets.pictures import read_sentence
from tr2m_plugin.datasets.readers import load_depth, load_picture
from tr2m_plugin.errors import InputError
from tr2m_plugin.evaluation import measure
from tr2m_plugin.evaluation.alignment import Alignment
from tr2m_plugin.inference.anchors import bring
from tr2m_plugin.inference.inferencer import TR2MInferencer
from tr2m_plugin.inference.outputs import Prediction

COUNTS, SEEDS = (5, 20, 100), (0, 1, 2)
FITS = {"median": "median per image †", "linear": "linear fit per image †"}


def predictions(data: Dataset, model: str, text: str | None) -> Iterator[tuple[Prediction, np.ndarray]]:
    """Every picture's prediction, in the unit and at the size of its truth, and that."""
    inferencer = TR2MInferencer(model, show_progress=False)
    for row in data.rows:
        sentence = text or read_sentence(Path(row.image), row.sample_id)
        (found,) = inferencer(load_picture(row), sentence, unit=data.unit, names=[row.sample_id])
        truth = load_depth(row)
        yield replace(found, depth=data.protocol.at_size_of(found.depth, truth)), truth


def anchored(found: Prediction, truth: np.ndarray, valid: np.ndarray, count: int, seed: int) -> np.ndarray | None:
    """Depth with so many anchors; None where they are refused."""
    v, u = np.nonzero(valid)
    drawn = np.random.default_rng(seed).choice(len(v), min(count, len(v)), replace=False)
    points = np.stack([u[drawn], v[drawn], truth[v[drawn], u[drawn]]], 1)
    try:
        return bring(found, points, found.unit).depth
    except InputError:
        return None


def rows_of(data: Dataset, found: Prediction, truth: np.ndarray) -> dict[str, tuple[list[float], int]]:
    """AbsRel of a picture by row of the table, a number for each seed, and how many of them were refused."""
    valid = data.protocol.valid(truth)

    def error(depth: np.ndarray | None) -> float:
        value = measure(found.depth if depth is None else depth, truth, data.protocol)["abs_rel"]
        return np.nan if value is None else value

    rows: dict[str, tuple[list[float], int]] = {"no anchors": ([error(found.depth)], 0)}
    for count in COUNTS:
        depths = [anchored(found, truth, valid, count, seed) for seed in SEEDS]
        rows[f"{count} anchors"] = ([error(depth) for depth in depths], sum(depth is None for depth in depths))
    for name, label in FITS.items():
        rows[label] = ([error(Alignment(name, "depth").apply(found.depth, truth, valid))], 0)
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", nargs="*", default=[], metavar="NAME[=ROOT]")
    parser.add_argument("--roots", type=Path, help="YAML file of datasets and their roots")
    parser.add_argument("--model", default="tr2m_mini", help="(default: tr2m_mini)")
    parser.add_argument("--text", help="a sentence for all pictures (default: those beside them)")
    args = parser.parse_args()
    for data in open_datasets(choose_entries(args.datasets, args.roots)):
        found = [rows_of(data, *pair) for pair in predictions(data, args.model, args.text)]
        print(f"{data.name}: {len(data.rows)} pictures, {args.model}; † knows the whole truth")
        for label in found[0]:
            by_seed = np.nanmean([one[label][0] for one in found], axis=0)
            refused = sum(one[label][1] for one in found)
            spread = f" ({by_seed.min():.3f} to {by_seed.max():.3f})" if len(by_seed) > 1 else ""
            note = f"; refused {refused} of {len(found) * len(SEEDS)}" if refused else ""
            print(f"  {label:22} AbsRel {by_seed.mean():.3f}{spread}{note}")


if __name__ == "__main__":
    main()
