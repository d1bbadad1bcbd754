"""The paper's ablations on the miniature world: every config of configs/ablations, several seeds each.

    python -m benchmarks.ablations --seeds 0 1

Needs the tables of `dvc repro` (profile mini). A training that is done is not repeated; an interrupted one goes on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines import relative_depth
from pipelines.params import Stage, load_stage
from tr2m_plugin.datasets.parquet import read_rows
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import IndexRow
from tr2m_plugin.tools.train import load_config, train

PAPER = ("NYUv2", "iBims-1", "DIODE Outdoor")
METRICS = ("abs_rel", "d1")


class Row(NamedTuple):
    """A row of one of the paper's tables.

    Attributes:
        table: its number, or a name of ours.
        label: what the row is called.
        config: its file in configs/ablations; None is the whole TR2M.
        paper: AbsRel and δ1 on `PAPER`, where the paper has them.
    """

    table: str
    label: str
    config: str | None
    paper: Sequence[float] = ()


WHOLE = (0.082, 0.954, 0.154, 0.736, 0.673, 0.274)
ROWS = [
    Row("4", "two factors", "factors", (0.118, 0.902, 0.202, 0.566, 0.761, 0.225)),
    Row("4", "maps", "maps", (0.084, 0.946, 0.173, 0.657, 0.702, 0.237)),
    Row("4", "maps, pseudo depth", "without_soc", (0.085, 0.945, 0.160, 0.708, 0.687, 0.243)),
    Row("4", "maps, SOC", "without_pseudo"),
    Row("4", "**maps, pseudo depth, SOC**", None, WHOLE),
    Row("5", "text", "text_only", (0.114, 0.909, 0.193, 0.621, 0.745, 0.231)),
    Row("5", "image", "image_only", (0.085, 0.945, 0.164, 0.704, 0.694, 0.259)),
    Row("9", "MiDaS 3.1", "relative_midas", (0.089, 0.934, 0.168, 0.707, 0.690, 0.258)),
    Row("9", "DPT-Hybrid", "relative_dpt", (0.088, 0.942, 0.164, 0.715, 0.682, 0.262)),
    Row("11", "scale map", "scale_only", (0.102, 0.923, 0.177, 0.663, 0.727, 0.238)),
    Row("11", "shift map", "shift_only", (0.256, 0.836, 0.356, 0.453, 0.786, 0.205)),
    Row("12", "5 classes", "classes_5", (0.086, 0.948, 0.157, 0.728, 0.682, 0.264)),
    Row("12", "10 classes", "classes_10", (0.083, 0.953, 0.155, 0.730, 0.679, 0.268)),
    Row("12", "40 classes", "classes_40", (0.083, 0.952, 0.156, 0.731, 0.681, 0.269)),
    Row("RSA", "RSA's network", "rsa"),
]
"""What is run. The whole TR2M is the row of DA, of both modalities and maps, and of 20 classes too."""


def measure(
    file: str, seed: int, root: str, folder: Path, metrics: Sequence[str] = METRICS, base: str | None = None
) -> dict[str, dict[str, float]]:
    """Metrics by dataset on a config's test split after its last iteration, after training if need be.

    Args:
        file: the config.
        seed: seed of the training.
        root: folder of the tables.
        folder: where the training goes; one that is done is not repeated, an interrupted one goes on.
        metrics: names.
        base: the config of an ablation.
    """
    result = folder / "metrics.json"
    if result.is_file():
        return json.loads(result.read_text())
    config = load_config(file, {"randomness.seed": seed}, root, base)
    config.work_dir = str(folder)
    # The last weights for all: the best by AbsRel would favour whatever a variant does on miniatures.
    values = train(config, resume=True).test()
    means: dict[str, dict[str, float]] = {}
    for key, value in values.items():
        dataset, mark, metric = key.partition("/")
        if mark and metric in metrics:
            means.setdefault(dataset, {})[metric] = float(value)
    result.write_text(json.dumps(means, indent=1))
    return means


def run(name: str | None, seed: int, root: str, out: Path) -> dict[str, dict[str, float]]:
    """AbsRel and δ1 by dataset of one ablation; None is the whole TR2M."""
    file = "configs/tr2m_mini.py" if name is None else f"configs/ablations/{name}.py"
    return measure(file, seed, root, out / f"{name or 'tr2m'}-{seed}", base="tr2m_mini")


def other_relative_depth(root: str) -> None:
    """Maps of the other relative depth networks, beside those that the pipeline made."""
    config = load_config("configs/tr2m_mini.py", None, root)
    params = dict(load_stage("mini", "relative_depth").params)
    more = {
        name: {**params["model"], "pretrained": pretrained} for name, pretrained in config.relative_networks.items()
    }
    relative_depth.stage(Stage("mini", {**params, "more": more}, Path(root)))


def trained_datasets(root: str) -> set[str]:
    """Names of the datasets that have pictures to train on."""
    path = Path(root) / "index.parquet"
    if not path.is_file():
        raise InputError(f"{path} does not exist: run `make demo` first")
    return {row.dataset for row in read_rows(path, IndexRow) if row.split == "train"}


def number(value: float) -> str:
    """Three digits after the point, without the zero before it."""
    return f"{value:.3f}".removeprefix("0")


def markdown(results: dict[str | None, list[dict[str, dict[str, float]]]], seen: set[str]) -> str:
    """The table: AbsRel / δ1, the paper's and then ours."""

    def ours(runs: list[dict[str, dict[str, float]]], inside: bool) -> str:
        parts = []
        for metric in METRICS:
            means = [np.mean([v[metric] for name, v in run.items() if (name in seen) is inside]) for run in runs]
            parts.append(f"{number(np.mean(means))} ± {number(np.ptp(means) / 2)}")
        return " / ".join(parts)

    lines = [f"| table | | {' | '.join(PAPER)} | trained | zero-shot |", "|---|---|" + "---|" * (len(PAPER) + 2)]
    for row in ROWS:
        if row.config in results:
            pairs = zip(row.paper[::2], row.paper[1::2], strict=True)
            paper = [f"{number(a)} / {number(b)}" for a, b in pairs] or [""] * len(PAPER)
            cells = [row.table, row.label, *paper, ours(results[row.config], True), ours(results[row.config], False)]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default="work/mini", help="folder of the tables (default: work/mini)")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/ablations"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--only", nargs="+", help="names of configs, tr2m for the whole (default: all)")
    args = parser.parse_args()
    seen = trained_datasets(args.root)
    rows = [row for row in ROWS if not args.only or (row.config or "tr2m") in args.only]
    if any(row.table == "9" for row in rows):
        other_relative_depth(args.root)
    results: dict[str | None, list[dict[str, dict[str, float]]]] = {row.config: [] for row in rows}
    for seed in args.seeds:
        for row in rows:
            results[row.config].append(run(row.config, seed, args.root, args.out))
    text = (
        f"AbsRel / δ1. {', '.join(PAPER)}: paper. Trained ({', '.join(sorted(seen))}) and zero-shot: fixture, test "
        f"split of the miniature world, mean of {len(args.seeds)} seeds ± half the range between them.\n\n"
        f"{markdown(results, seen)}\n"
    )
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "table.md").write_text(text)
    print(f"\n{text}\nwritten: {args.out / 'table.md'}")


if __name__ == "__main__":
    main()
