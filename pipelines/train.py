"""Stage `train`: MMEngine's runner on the profile's tables; interrupted and repeated, it goes on."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

import tr2m_plugin
from pipelines.networks import check_made_by, weights_digest
from pipelines.params import Stage, code_digest, digest, digest_files, package_files, run_stage
from pipelines.stamps import file_stamp
from tr2m_plugin.checkpoint import load_checkpoint, state_of
from tr2m_plugin.datasets.parquet import read_rows
from tr2m_plugin.errors import InputError
from tr2m_plugin.files import write_whole
from tr2m_plugin.inference.model_folder import WEIGHTS, save_model, spec_of
from tr2m_plugin.resuming import is_readable, newest_checkpoint
from tr2m_plugin.rows import IndexRow
from tr2m_plugin.tools.train import load_config, train
from tr2m_plugin.training import alone_in
from tr2m_plugin.weights import resolve_pretrained

UNIMPORTANT = ("log_level", "log_processor", "visualizer", "work_dir")
CODE = (
    "datasets",
    "contrast",
    "hooks",
    "losses",
    "models",
    "optim.py",
    "plain_yaml.py",
    "state_dicts.py",
    "structures.py",
    "tensors.py",
    "evaluation/depth_metric.py",
    "evaluation/measuring.py",
    "evaluation/metrics.py",
    "evaluation/protocols.py",
)
"""What of the package weights and the choice of the best ones come from."""
OLD = re.compile(r"train\.old-(\d+)")
INPUT_TABLES = ("index.parquet", "descriptions.parquet", "text_features.parquet")


def fingerprint(run: Stage, config: Config) -> str:
    """A hash of everything the weights depend on: the config as resolved, the data, the code that trains.

    Comments, docstrings and layout of the code do not count, and neither does how training is logged.
    """
    tables = [run.root / name for name in INPUT_TABLES]
    start = [weights_file(run.params["load_from"])] if run.params.get("load_from") else []
    shards = sorted(path.name for path in (run.root / "relative_depth").rglob("*.safetensors"))
    rows = read_rows(run.root / "index.parquet", IndexRow)
    depth = [file_stamp(row.depth, run.root) for row in rows if row.depth and row.split != "test"]
    encoder = (config.model.get("image_encoder") or {}).get("pretrained")
    frozen = weights_digest(encoder) if encoder else ""
    settings = {name: value for name, value in config.to_dict().items() if name not in UNIMPORTANT}
    hooks = settings.get("default_hooks", {})
    settings["default_hooks"] = {name: hook for name, hook in hooks.items() if name not in ("logger", "timer")}
    anywhere = json.dumps(settings, sort_keys=True, default=str).replace(str(run.root), "")
    return digest(
        [
            anywhere,
            digest_files([*tables, *start]),
            [code_digest(path) for path in training_code()],
            shards,
            depth,
            frozen,
        ]
    )


def training_code() -> list[Path]:
    """The modules that training runs."""
    return package_files(CODE)


def set_aside(work_dir: Path) -> Path:
    """Moves the folder of another training to a free name beside it, and returns that."""
    numbers = [int(found[1]) for path in work_dir.parent.iterdir() if (found := OLD.fullmatch(path.name))]
    target = work_dir.with_name(f"{work_dir.name}.old-{max(numbers, default=0) + 1}")
    return work_dir.rename(target)


def collect_curves(work_dir: Path, wanted: Callable[[str], bool]) -> list[dict[str, float]]:
    """What MMEngine logged, a row per iteration, over all the sittings of an interrupted training.

    Args:
        work_dir: work folder of the training.
        wanted: whether a value of that name is taken.
    """
    rows: dict[int, dict[str, float]] = {}
    for path in sorted(work_dir.glob("*/vis_data/scalars.json")):
        for line in path.read_text(errors="replace").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:  # a kill cut it off
                continue
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


def best_checkpoint(work_dir: Path, metric: str | None = "abs_rel") -> Path:
    """The best checkpoint by a validation metric, or the last one.

    Args:
        work_dir: work folder of the training.
        metric: as `save_best` names it; "auto" is whichever it was; None: there was no validation. Default: abs_rel.

    Raises:
        InputError: there is none that can be read.
    """
    name = ".+" if metric == "auto" else re.escape(str(metric).replace("/", "_"))
    pattern = re.compile(rf"best_{name}_(?:iter|epoch)_(\d+)\.pth")  # and not what is published beside it
    numbered = [(int(found[1]), path) for path in work_dir.iterdir() if (found := pattern.fullmatch(path.name))]
    best = [path for _, path in sorted(numbered, reverse=True)] if metric else []
    readable = next(filter(is_readable, best), None)  # a later one is a better one
    if readable is not None:
        return readable
    last = newest_checkpoint(work_dir)
    if last is None:
        raise InputError(f"{work_dir} holds no checkpoint that can be read")
    return Path(last)


def has_split(run: Stage, split: str) -> bool:
    """Whether the index lists pictures of a split."""
    return any(row.split == split for row in read_rows(run.root / "index.parquet", IndexRow))


def weights_file(start: str) -> Path:
    """The file that holds the weights: a checkpoint itself, or that of a model folder, given by path or name."""
    source = Path(resolve_pretrained(start))
    file = source / WEIGHTS if source.is_dir() else source
    if not file.is_file():
        raise InputError(f"train.load_from: {file} does not exist")
    return file


def prepare(work_dir: Path, current: str) -> None:
    """Makes the work folder the one of a fingerprint; a training with another one is moved aside."""
    mark = work_dir / "fingerprint"
    if mark.is_file() and mark.read_text().strip() == current:
        return
    work_dir.mkdir(parents=True, exist_ok=True)
    with alone_in(str(work_dir)):  # a training that has no checkpoint yet may still be running
        if any(work_dir.glob("*.pth")):
            old = set_aside(work_dir)
            print(
                f"train: settings, data or code changed: training starts anew, the earlier one is now {old} "
                "(remove it when you need it no more)",
                flush=True,
            )
        else:
            shutil.rmtree(work_dir)
    work_dir.mkdir(parents=True)
    write_whole(mark, lambda partial: partial.write_text(current))


def trained(run: Stage, config: Config, work_dir: Path) -> Path:
    """Trains, or goes on where an earlier run stopped; what is done is not done again.

    Args:
        run: with the tables, and maybe `load_from` among its params.
        config: is changed: it gets the work folder, and loses the validation where no picture is for that.
        work_dir: work folder; another training in it is moved aside, see `prepare`.

    Returns:
        The best checkpoint, or without validation the last.

    Raises:
        InputError: there is nothing to train on or to start from, or see `tr2m_plugin.tools.train.train`.
    """
    prepare(work_dir, fingerprint(run, config))
    config.work_dir = str(work_dir)
    if run.params.get("load_from"):
        config.load_from = str(weights_file(run.params["load_from"]))
    if not has_split(run, "train"):
        raise InputError(f"train: {run.root / 'index.parquet'} lists no picture in the split 'train'")
    if not has_split(run, "val"):
        config.val_dataloader = config.val_cfg = config.val_evaluator = None
        config.default_hooks.checkpoint.pop("save_best", None)
        config.default_hooks.checkpoint.pop("rule", None)
    train(config, resume=True)
    saved = config.default_hooks.checkpoint.get("save_best")
    return best_checkpoint(work_dir, saved[0] if isinstance(saved, list) else saved)


def stage(run: Stage) -> None:
    """Trains, and writes the best weights as a model folder; with `enabled: false`, those of `load_from`."""
    config = load_config(run.params["config"], run.params.get("options"), str(run.root))
    check_made_by(run.root / "text_features.parquet", config.get("text_encoder"), "text_encoder")
    maps = config.train_dataloader.dataset.get("relative_depth") or "relative_depth"
    check_made_by(run.root / maps / "errors.parquet", config.get("relative_depth"), "relative_depth")
    work_dir = run.root / "train"
    start = run.params.get("load_from")
    if not run.params.get("enabled", True):
        if not start:
            raise InputError("train: with `enabled: false`, `load_from` must name the weights to evaluate")
        work_dir.mkdir(parents=True, exist_ok=True)
        file = weights_file(start)
        _finish(run, config, state_of(load_checkpoint(file), file), {"weights": start})
        return
    chosen = trained(run, config, work_dir)
    content = load_checkpoint(chosen)
    iteration = content["meta"]["iter"]
    about = {"checkpoint": chosen.name, "iteration": iteration, **({"load_from": start} if start else {})}
    _finish(run, config, content["state_dict"], about)


def _finish(run: Stage, config: Any, state: dict[str, Any], about: dict[str, Any]) -> None:
    facts = {**about, "config": run.params["config"], "version": tr2m_plugin.__version__, "profile": run.profile}
    shutil.rmtree(run.root / "model", ignore_errors=True)
    save_model(run.root / "model", spec_of(config, facts), state)
    for file, wanted in (("losses.csv", is_loss), ("validation.csv", is_validation)):
        # Weights that were taken as they are have no curves, whatever was trained here before.
        write_curves(run.root / file, [] if "weights" in about else collect_curves(run.root / "train", wanted))


if __name__ == "__main__":
    run_stage("train", __doc__, stage)
