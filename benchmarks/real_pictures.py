"""tr2m_mini on real pictures: fine-tuned on the first frames of a walk, tested on its last and in other places.

    python -m benchmarks.real_pictures WALK --elsewhere FOLDER --text "A kitchen with a table and chairs."

Both folders hold pictures with depth, read as the profile `pictures` of params.yaml says; a walk's frames come in the
order of their names. A training that is done is not repeated; an interrupted one goes on. See docs/real_pictures.md.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config

from pipelines import describe, descriptions, embed_text, index, relative_depth
from pipelines.estimators import PrecomputedRelativeDepth, TableTR2M
from pipelines.evaluate import fitted_rows, read_split, report_failures
from pipelines.params import Stage, load_stage
from pipelines.train import trained
from tr2m_plugin.benchmark.datasets import Dataset, datasets_of, index_dataset
from tr2m_plugin.benchmark.evaluation import Evaluation
from tr2m_plugin.benchmark.measuring import methods_of
from tr2m_plugin.benchmark.results import file_name
from tr2m_plugin.benchmark.run import Options
from tr2m_plugin.datasets.parquet import read_rows
from tr2m_plugin.datasets.readers import load_depth
from tr2m_plugin.device import pick_device
from tr2m_plugin.errors import InputError
from tr2m_plugin.files import read_text
from tr2m_plugin.inference.model_folder import build_model, open_model, spec_of
from tr2m_plugin.rows import DescriptionRow
from tr2m_plugin.tools.train import load_config, report
from tr2m_plugin.version import __version__

PROFILE = "pictures"
WALK, ELSEWHERE = "walk", "elsewhere"
METRICS = ("abs_rel", "d1")
SHOWN = 5
"""The most sentences of a folder that are named."""
ALIGNED_BY = {
    "median": "median per image †",
    "linear": "linear fit per image †",
    "global_all": "one fit of the training frames",
}
"""What is made of the relative depth alone; † uses the truth of the picture that is measured."""
WITHOUT_SOC, WITHOUT_PSEUDO = {"custom_hooks": []}, {"model.loss_pseudo": None}
VARIANTS: dict[str, dict[str, Any]] = {
    "fine-tuned": {},
    "fine-tuned without SOC": WITHOUT_SOC,
    "fine-tuned without pseudo depth": WITHOUT_PSEUDO,
    "fine-tuned without both": {**WITHOUT_SOC, **WITHOUT_PSEUDO},
}
"""The trainings, and what they set in the config; the others are compared with the first."""
BLOCK = re.compile(r"(?<=<!-- measured -->\n).*(?=<!-- end -->)", re.DOTALL)
"""The part of a document that `--into` replaces."""


class Training(NamedTuple):
    """One of the trainings: which of `VARIANTS`, and the seed."""

    variant: str
    seed: int

    def __str__(self) -> str:
        return f"{self.variant}, seed {self.seed}"


class Found(NamedTuple):
    """What was measured.

    Attributes:
        numbers: of each row of the table `METRICS`, (runs, datasets, metrics).
        datasets: the columns.
        weights: hash of the weights that training starts from.
        confident: share of the training frames from which pseudo depth is learned.
    """

    numbers: dict[str, np.ndarray]
    datasets: list[Dataset]
    weights: str
    confident: float


def section(name: str, root: Path, item: str = "", **changes: Any) -> Stage:
    """A stage of the profile, with some params changed, on our tables."""
    return Stage(PROFILE, {**load_stage(PROFILE, name, item=item).params, **changes}, root, item)


def entries(args: argparse.Namespace, root: Path) -> list[dict[str, Any]]:
    """The folders as entries of the index: of the walk its first and last frames; what is between is left out."""
    common = {**load_stage(PROFILE, "index").params["datasets"][0], "splits": {"test": 1}}
    walk = {**common, "name": WALK, "root": str(args.walk.expanduser().resolve())}
    frames = [row.sample_id for row in index_dataset(walk)]
    if len(frames) < args.train + args.test:
        raise InputError(f"{args.walk} has {len(frames)} frames, not the {args.train} + {args.test} asked for")
    walk["split_files"] = {}
    for split, part in (("train", frames[: args.train]), ("test", frames[-args.test :])):
        file = root.resolve() / f"{split}.txt"
        file.write_text("\n".join(part) + "\n", encoding="utf-8")
        walk["split_files"][split] = str(file)
    if args.elsewhere is None:
        return [walk]
    return [walk, {**common, "name": ELSEWHERE, "root": str(args.elsewhere.expanduser().resolve())}]


def make_tables(args: argparse.Namespace, root: Path) -> None:
    """Runs the stages before training."""
    root.mkdir(parents=True, exist_ok=True)
    index.stage(section("index", root, datasets=entries(args, root)))
    usual = load_stage(PROFILE, "describe", item="texts").params["describers"]
    describers = []
    for dataset, given in ((WALK, args.text), (ELSEWHERE, args.elsewhere_text)):
        own = [{"type": "Sentence", "text": text} for text in given] or usual
        describers += [{**one, "datasets": [dataset]} for one in own]
    describe.stage(section("describe", root, "texts", describers=describers))
    descriptions.stage(section("descriptions", root))
    relative_depth.stage(section("relative_depth", root, workers=0))
    embed_text.stage(section("embed_text", root))


def configured(args: argparse.Namespace, run: Stage, training: Training) -> Config:
    """The profile's config for one of the trainings; the schedule is stretched to the iterations."""
    warm = max(args.iterations // 10, 1)
    options = {
        **(run.params.get("options") or {}),
        **VARIANTS[training.variant],
        "randomness.seed": training.seed,
        "train_dataloader.batch_size": args.batch,
        "train_cfg.max_iters": args.iterations,
        "param_scheduler.0.end": warm,
        "param_scheduler.1.begin": warm,
        "param_scheduler.1.end": args.iterations,
        "log_level": "WARNING",
    }
    return load_config(run.params["config"], options, str(run.root))


def fine_tune(args: argparse.Namespace, run: Stage, training: Training) -> Path:
    """Trains, and returns the last checkpoint: no picture is for choosing another."""
    return trained(run, configured(args, run, training), args.out / file_name(str(training)))


def fine_tune_all(args: argparse.Namespace, run: Stage) -> dict[Training, Path]:
    """The checkpoints of all trainings, some of which run at a time, each on one thread."""
    wanted = [Training(variant, seed) for seed in args.seeds for variant in VARIANTS]
    found: dict[Training, Path] = {}
    start = time.monotonic()
    pool = ProcessPoolExecutor(args.jobs, get_context("spawn"), torch.set_num_threads, (1,))
    try:
        jobs = {pool.submit(fine_tune, args, run, one): one for one in wanted}
        for job in as_completed(jobs):
            found[jobs[job]] = job.result()
            seconds = time.monotonic() - start
            print(f"{len(found)} of {len(jobs)}: {jobs[job]}: trained, {seconds:.0f} s since the start", flush=True)
    finally:
        pool.shutdown(cancel_futures=True)
    return {one: found[one] for one in wanted}


def measure(args: argparse.Namespace, root: Path, checkpoints: dict[Training, Path]) -> Found:
    """Measures the packaged model, the trained ones and the relative depth on all test pictures."""
    run, train = section("evaluate", root, fit_on="train", fit_limit=None), section("train", root)
    device = pick_device(run.params.get("device", "auto"))
    rows, arrays = read_split(root, "test")
    split, fit = fitted_rows(run, rows, arrays)
    tables, batch = [root / "descriptions.parquet"], run.count("batch_size", 32)
    options = Options(tables=tables, batch_size=batch, fit=fit, fitted_on=split)
    evaluation = Evaluation(datasets_of(rows), args.out / "evaluation", options)
    before = TableTR2M(*open_model(train.params["load_from"], device=device), root, arrays, device, ", as it is")
    evaluation.add_model(before)
    lines = {f"{train.params['load_from']}, as it is": [before.facts.label]}
    for training, checkpoint in checkpoints.items():
        spec = spec_of(configured(args, train, training))
        model = build_model(spec, checkpoint, device)
        tuned = TableTR2M(model, spec, root, arrays, device, f", {training}")
        evaluation.add_model(tuned)
        lines.setdefault(training.variant, []).append(tuned.facts.label)
    relative = PrecomputedRelativeDepth(arrays, before.facts.about["backbone"])
    evaluation.add_model(relative, alignments=list(ALIGNED_BY))
    aligned = methods_of(relative.facts.label, False, list(ALIGNED_BY))
    lines |= {f"relative depth, {ALIGNED_BY[str(kind)]}": [method] for method, kind in aligned.items()}
    metrics = evaluation.write()
    report_failures(evaluation, run.share("max_error_share", 0.2))
    names = [data.name for data in evaluation.datasets]
    numbers = {
        line: np.array([[[metrics[method]["datasets"][name][x] for x in METRICS] for name in names] for method in of])
        for line, of in lines.items()
    }
    confident = confident_share(configured(args, train, Training(next(iter(VARIANTS)), 0)), evaluation, relative)
    return Found(numbers, evaluation.datasets, before.facts.weights, confident)


def confident_share(config: Config, evaluation: Evaluation, relative: PrecomputedRelativeDepth) -> float:
    """Share of the training frames whose relative depth, fitted to the truth, passes the threshold of pseudo depth."""
    fitted = Evaluation(evaluation.options.fit or [], evaluation.out, Options(pictures=False))
    fitted.add_model(relative, alignments=["linear"])
    return float(
        np.mean([row["d1"] > config.model.loss_pseudo.threshold for row in fitted.found.rows if row["pixels"]])
    )


def mean_and_error(values: np.ndarray, digits: int, sign: str = "") -> str:
    """A mean, and behind ± its standard error where there are several values; without the zero before the point."""
    error = np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else None
    text = f"{np.mean(values):{sign}.{digits}f}" + ("" if error is None else f" ± {error:.{digits}f}")
    return re.sub(r"(?<!\d)0\.", ".", text)


def table(numbers: dict[str, np.ndarray], datasets: Sequence[Dataset], digits: int, sign: str = "") -> str:
    """Rows of numbers, (runs, datasets, metrics) each, as Markdown."""
    lines = [f"| | {' | '.join(data.name for data in datasets)} |", "|---|" + "---|" * len(datasets)]
    for line, values in numbers.items():
        cells = [" / ".join(mean_and_error(v, digits, sign) for v in of.T) for of in values.transpose(1, 0, 2)]
        lines.append(f"| {line} | {' | '.join(cells)} |")
    return "\n".join(lines)


def facts(args: argparse.Namespace, root: Path, found: Found) -> str:
    """What the pictures, the sentences and the trainings were, as a list."""
    texts: dict[str, dict[str, None]] = {}
    for row in read_rows(root / "descriptions.parquet", DescriptionRow):
        texts.setdefault(row.dataset, {})[row.text] = None
    lines = []
    for data in found.datasets:
        shares = [data.protocol.valid(load_depth(row)).mean() for row in data.rows if row.sample_id not in data.failed]
        said = " ".join(list(texts[data.name])[:SHOWN])
        more = f" and {len(texts[data.name]) - SHOWN} more" if len(texts[data.name]) > SHOWN else ""
        trained_on = f"the first {args.train} pictures to train on, the last " if data.name == WALK else ""
        truth = f"{np.mean(shares):.0%} of whose pixels have truth in range"
        lines.append(f"- {data.name}: {trained_on}{len(data.rows)} to test on, {truth}. Sentences: {said}{more}")
    steps = f"{args.iterations} iterations of {args.batch} pictures, seeds {', '.join(map(str, args.seeds))}"
    lines.append(f"- trainings: {steps}; from weights {found.weights}, version {__version__}")
    lines.append(f"- pseudo depth: the relative depth of {found.confident:.0%} of the training frames fits well enough")
    return "\n".join(lines)


def markdown(args: argparse.Namespace, root: Path, found: Found) -> str:
    """What was measured on what, and the two tables."""
    whole, *others = VARIANTS
    changes = {name: found.numbers[name] - found.numbers[whole] for name in others}
    parts = [
        f"Kind: **real pictures, measured by us**{f': {args.about}' if args.about else ''}. AbsRel / δ1.",
        facts(args, root, found),
        "Trainings: mean over the seeds ± its standard error. † uses the truth of the picture that is measured.",
        table(found.numbers, found.datasets, 3),
        f"Less the {whole} of the same seed, mean ± standard error:",
        table(changes, found.datasets, 4, "+"),
    ]
    return "\n\n".join(parts) + "\n"


def run(args: argparse.Namespace) -> None:
    """Does all of it."""
    if args.into and not BLOCK.search(read_text(args.into)):
        raise InputError(f"{args.into} has no lines <!-- measured --> and <!-- end --> to write between")
    root = args.out / "tables"
    make_tables(args, root)
    checkpoints = fine_tune_all(args, section("train", root))
    text = markdown(args, root, measure(args, root, checkpoints))
    (args.out / "table.md").write_text(text, encoding="utf-8")
    if args.into:
        args.into.write_text(BLOCK.sub(lambda _: f"\n{text}\n", read_text(args.into)), encoding="utf-8")
    print(f"\n{text}\nwritten: {args.into or args.out / 'table.md'}")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("walk", type=Path, help="folder of the frames")
    parser.add_argument("--elsewhere", type=Path, help="folder of pictures of other places, which are not trained on")
    parser.add_argument("--text", nargs="+", default=[], help="sentences for the walk (default: the profile's)")
    parser.add_argument("--elsewhere-text", nargs="+", default=[], help="sentences for the other places, likewise")
    parser.add_argument("--about", help="what the pictures are, for the table")
    parser.add_argument("--train", type=int, default=200, help="how many of the first frames to train on")
    parser.add_argument("--test", type=int, default=100, help="how many of the last frames to test on")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--batch", type=int, default=8, help="pictures an iteration")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time, on one thread each")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/real_pictures"))
    parser.add_argument("--into", type=Path, help="document whose measured part the result replaces")
    args = parser.parse_args(argv)
    return report("real_pictures", lambda: run(args), "interrupted; repeated, it goes on")


if __name__ == "__main__":
    sys.exit(main())
