"""What each part of TR2M is worth on the miniature world: variants of configs/tr2m_mini.py, several seeds each.

    python -m benchmarks.ablations --seeds 0 1 2

Needs the tables of `dvc repro` (profile mini). A training that is done is not repeated.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.runner import find_latest_checkpoint

from pipelines.evaluate import Predictor, choose_texts, measure, open_split
from tr2m_plugin.device import pick_device
from tr2m_plugin.inference.model_folder import build_model, spec_of
from tr2m_plugin.tools.train import load_config, train

VARIANTS: dict[str, dict[str, Any]] = {
    "text and image": {},
    "image only": {"model.rescale_net.modalities": "image"},
    "text only": {"model.rescale_net.modalities": "text"},
    "scale map only": {"model.rescale_net.maps": "scale"},
    "without SOC": {"custom_hooks": []},
    "without pseudo depth": {"model.loss_pseudo": None},
}
"""Config values that differ from those of the config."""


def run(variant: str, seed: int, root: str, out: Path, device: str) -> dict[str, float]:
    """δ1 by dataset on the test split, after training if need be."""
    folder = out / f"{variant.replace(' ', '_')}-{seed}"
    result = folder / "d1.json"
    if result.is_file():
        return json.loads(result.read_text())
    config = load_config("configs/tr2m_mini.py", {**VARIANTS[variant], "randomness.seed": seed}, root)
    config.work_dir = str(folder)
    train(config, resume=True)
    # The last weights for all: the best by AbsRel would favour whatever a variant does on miniatures.
    model = build_model(spec_of(config), find_latest_checkpoint(str(folder)), device)
    data = open_split(Path(root), "test")
    texts = choose_texts([data.get_data_info(i) for i in range(len(data))], 0, None)["tr2m"]
    values: dict[str, list[float]] = {}
    for sample in Predictor(model, device, 32)(data, list(texts), list(texts.values())):
        value = measure(sample, sample.pred_depth_map.data[0].numpy())["d1"]
        values.setdefault(sample.dataset, []).append(value)
    means = {name: float(np.mean(column)) for name, column in values.items()}
    result.write_text(json.dumps(means, indent=1))
    return means


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default="work/mini", help="folder of the tables (default: work/mini)")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/ablations"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    device = pick_device(args.device)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
    for seed in args.seeds:
        for name in VARIANTS:
            runs[name].append(run(name, seed, args.root, args.out, device))
    datasets = list(runs["text and image"][0])
    print(f"\nδ1 on the test split, mean over {len(args.seeds)} seeds ± half the range between them; kind: fixture\n")
    print(f"| | {' | '.join(datasets)} |\n|---|{'---|' * len(datasets)}")
    for name, results in runs.items():
        table = np.array([[result[dataset] for dataset in datasets] for result in results])
        cells = [f"{m:.2f} ± {s:.2f}" for m, s in zip(table.mean(0), np.ptp(table, 0) / 2, strict=True)]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
