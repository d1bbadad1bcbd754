"""Stage `train`: MMEngine's runner on the profile's tables; interrupted and repeated, it goes on."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tr2m_plugin
from pipelines.params import Stage, digest, digest_files, run_stage
from tr2m_plugin.checkpoint import load_checkpoint, state_of
from tr2m_plugin.errors import InputError
from tr2m_plugin.inference.model_folder import WEIGHTS, save_model, spec_of
from tr2m_plugin.tools.train import load_config, train
from tr2m_plugin.weights import resolve_pretrained

TABLES = ("index.parquet", "descriptions.parquet", "text_features.parquet")


def fingerprint(run: Stage) -> str:
    """A hash of everything the weights depend on: settings, data, and the code of the package."""
    tables = [run.root / name for name in TABLES]
    config = Path(run.params["config"])
    code = sorted(Path(tr2m_plugin.__file__).parent.rglob("*.py")) + sorted(config.parent.rglob("*.py"))
    start = [weights_file(run.params["load_from"])] if run.params.get("load_from") else []
    shards = sorted(path.name for path in (run.root / "relative_depth").rglob("*.safetensors"))
    return digest([run.params, digest_files([*tables, *code, *start]), shards])


def collect_curves(work_dir: Path, wanted: Callable[[str], bool]) -> list[dict[str, float]]:
    """What MMEngine logged, a row per iteration, over all the sittings of an interrupted training.

    Args:
        work_dir: of the training.
        wanted: whether a value of that name is taken.
    """
    rows: dict[int, dict[str, float]] = {}
    for path in sorted(work_dir.glob("*/vis_data/scalars.json")):
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            step = int(entry.pop("step", entry.pop("iter", 0)))
            values = {name: value for name, value in entry.items() if wanted(name)}
            if values:
                rows.setdefault(step, {"iteration": step}).update(values)
    return [rows[step] for step in sorted(rows)]


def is_loss(name: str) -> bool:
    """Whether a logged value is a training loss."""
    return name.startswith("loss")


def is_validation(name: str) -> bool:
    """Whether a logged value is one of the validation metrics that are drawn."""
    return name.rpartition("/")[2] in ("abs_rel", "d1")


def write_curves(path: Path, rows: Sequence[dict[str, float]]) -> None:
    """Writes rows as CSV with a column for every name in any of them."""
    names = dict.fromkeys(["iteration", *(name for row in rows for name in row)])
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(names))
        writer.writeheader()
        writer.writerows(rows)


def best_checkpoint(work_dir: Path) -> Path:
    """The checkpoint with the best validation AbsRel, or the last one without validation."""
    best = sorted(work_dir.glob("best_abs_rel_*.pth"), key=lambda path: path.stat().st_mtime)
    if best:
        return best[-1]
    last = work_dir / "last_checkpoint"
    if not last.is_file():
        raise InputError(f"{work_dir} holds no checkpoint")
    return work_dir / Path(last.read_text().strip()).name


def has_split(run: Stage, split: str) -> bool:
    """Whether the index lists pictures of a split."""
    from tr2m_plugin.datasets.tables import INDEX, read_table

    return any(row["split"] == split for row in read_table(run.root / "index.parquet", INDEX))


def weights_file(start: str) -> Path:
    """The file that holds the weights: a checkpoint itself, or that of a model folder, given by path or name."""
    source = Path(resolve_pretrained(start))
    file = source / WEIGHTS if source.is_dir() else source
    if not file.is_file():
        raise InputError(f"train.load_from: {file} does not exist")
    return file


def stage(run: Stage) -> None:
    """Trains, and writes the best weights as a model folder; with `enabled: false`, those of `load_from`."""
    config = load_config(run.params["config"], run.params.get("options"), str(run.root))
    work_dir = run.root / "train"
    start = run.params.get("load_from")
    if not run.params.get("enabled", True):
        if not start:
            raise InputError("train: with `enabled: false`, `load_from` must name the weights to evaluate")
        work_dir.mkdir(parents=True, exist_ok=True)
        file = weights_file(start)
        _finish(run, config, state_of(load_checkpoint(file), file), {"weights": start})
        return
    mark = work_dir / "fingerprint"
    current = fingerprint(run)
    if not (mark.is_file() and mark.read_text() == current):
        shutil.rmtree(work_dir, ignore_errors=True)
        work_dir.mkdir(parents=True)
        mark.write_text(current)
    config.work_dir = str(work_dir)
    if start:
        config.load_from = str(weights_file(start))
    if not has_split(run, "train"):
        raise InputError(f"train: {run.root / 'index.parquet'} lists no picture in the split 'train'")
    if not has_split(run, "val"):
        config.val_dataloader = config.val_cfg = config.val_evaluator = None
        config.default_hooks.checkpoint.pop("save_best", None)
        config.default_hooks.checkpoint.pop("rule", None)
    train(config, resume=True)
    chosen = best_checkpoint(work_dir)
    content = load_checkpoint(chosen)
    iteration = content["meta"]["iter"]
    about = {"checkpoint": chosen.name, "iteration": iteration, **({"load_from": start} if start else {})}
    _finish(run, config, content["state_dict"], about)


def _finish(run: Stage, config: Any, state: dict[str, Any], about: dict[str, Any]) -> None:
    facts = {**about, "config": run.params["config"], "version": tr2m_plugin.__version__, "profile": run.profile}
    shutil.rmtree(run.root / "model", ignore_errors=True)
    save_model(run.root / "model", spec_of(config, facts), state)
    for file, wanted in (("losses.csv", is_loss), ("validation.csv", is_validation)):
        write_curves(run.root / file, collect_curves(run.root / "train", wanted))


if __name__ == "__main__":
    run_stage("train", __doc__, stage)
