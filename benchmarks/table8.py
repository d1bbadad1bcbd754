"""The paper's Table 8 on the miniature world: NeWCRFs with and without scale-oriented contrast, several seeds each.

    python -m benchmarks.table8 --seeds 0 1

Needs the tables of `dvc repro` (profile mini). A training that is done is not repeated; an interrupted one goes on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.ablations import measure, number, trained_datasets

METRICS = ("abs_rel", "rmse", "d1")
ROWS = {
    "newcrfs_swinmini_12e_rooms": ("NeWCRFs", (0.090, 0.324, 0.929, 0.223, 0.891, 0.541)),
    "newcrfs_swinmini_soc_12e_rooms": ("NeWCRFs + SOC", (0.089, 0.318, 0.932, 0.210, 0.882, 0.550)),
}
"""Configs, what they are called, and the paper's AbsRel, RMSE and δ1 on NYUv2 and iBims-1."""

DATASETS = ("rooms", "hallway")
"""What is trained on, and what is not."""


def markdown(results: dict[str, list[dict[str, dict[str, float]]]]) -> str:
    """The table: AbsRel / RMSE / δ1, the paper's and then ours."""
    lines = ["| | NYUv2 | iBims-1 | rooms | hallway, zero-shot |", "|---|---|---|---|---|"]
    for config, runs in results.items():
        label, paper = ROWS[config]
        cells = [" / ".join(number(value) for value in paper[at : at + 3]) for at in (0, 3)]
        for dataset in DATASETS:
            values = np.array([[run[dataset][metric] for metric in METRICS] for run in runs])
            cells.append(
                " / ".join(
                    f"{number(mean)} ± {number(half)}"
                    for mean, half in zip(values.mean(0), np.ptp(values, axis=0) / 2, strict=True)
                )
            )
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default="work/mini", help="folder of the tables (default: work/mini)")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/table8"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    args = parser.parse_args()
    trained_datasets(args.root)
    results: dict[str, list[dict[str, dict[str, float]]]] = {config: [] for config in ROWS}
    for seed in args.seeds:
        for config in ROWS:
            file = f"configs/newcrfs/{config}.py"
            results[config].append(measure(file, seed, args.root, args.out / f"{config}-{seed}", METRICS))
    text = (
        f"AbsRel / RMSE / δ1. NYUv2 and iBims-1: paper. Rooms and hallway: fixture, test split of the miniature world, "
        f"metres, mean of {len(args.seeds)} seeds ± half the range between them.\n\n{markdown(results)}\n"
    )
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "table.md").write_text(text)
    print(f"\n{text}\nwritten: {args.out / 'table.md'}")


if __name__ == "__main__":
    main()
