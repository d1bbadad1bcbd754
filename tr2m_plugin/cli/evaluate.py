"""The command `tr2m evaluate`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tr2m_plugin.cli.options import count, factor, number, parse_options
from tr2m_plugin.errors import InputError
from tr2m_plugin.replacing import check_file

ROOTS = Path("params.yaml")
"""Where roots of datasets are looked for when the command names no file."""

WRITTEN = ("metrics.json", "per_image.parquet", "per_image.csv", "summary.csv", "errors.parquet")
"""What an evaluation writes into its folder, first its mark."""


def add(commands: Any) -> None:
    """Declares the command."""
    evaluate = commands.add_parser(
        "evaluate",
        help="depth models on datasets, by one protocol",
        description="Measures any depth model on published datasets or a folder of one's own, and writes metrics.json, "
        "the table per image, tables in the layout of the paper's with its rows beside, and error maps. Models: TR2M "
        "(a model folder, or tr2m_da_small, the authors' weights, fetched at first use), "
        "RSA (a model folder), a depth network of transformers (hub id or folder), an MMEngine config with --weights, "
        "a class of one's own (FILE.py:CLASS), or any program's predictions as files.",
    )
    for title, declare in (
        ("what is measured", _add_models),
        ("on which pictures", _add_datasets),
        ("with which sentences", _add_sentences),
        ("how", _add_measuring),
        ("what is written", _add_output),
        ("the machine", _add_machine),
    ):
        declare(evaluate.add_argument_group(title))
    evaluate.set_defaults(run=_run)


def _add_models(group: Any) -> None:
    option = group.add_argument
    option("--model", nargs="+", default=[], help="model folders, tr2m_da_small, hub ids, configs or FILE.py:CLASS")
    option("--weights", help="checkpoint for a config or a class")
    option(
        "--predictions",
        nargs="+",
        type=Path,
        default=[],
        metavar="FOLDER",
        help="folders of shards, or of .npy and 16-bit PNG files named by sample id, below one per dataset or in it",
    )
    option("--returns", choices=["depth", "disparity"], help="what the numbers are, where the model does not say")
    option("--unit", choices=["m", "mm", "dataset", "none"], help="unit of the numbers; none: affine-invariant")
    option("--png-scale", type=factor, help="factor from the numbers of PNG files to the unit")


def _add_datasets(group: Any) -> None:
    option = group.add_argument
    option("--datasets", nargs="*", default=[], metavar="NAME[=ROOT]", help="(default: all that have a root)")
    option("--roots", type=Path, default=ROOTS, help="YAML file of datasets and their roots (default: params.yaml)")
    option("--profile", default="paper", help="profile of params.yaml (default: paper)")
    option("--limit", type=count, help="the most pictures of a dataset, evenly spaced (default: all)")


def _add_sentences(group: Any) -> None:
    option = group.add_argument
    option(
        "--text-tables",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="tables of descriptions, or RSA's folder `text`",
    )
    option("--text", help="a sentence for pictures without one")
    option(
        "--which-text",
        nargs="+",
        default=["right"],
        metavar="WHICH",
        help="sentences that models get: right; wrong_scene, wrong_domain, of other pictures; truncated, the first "
        "half of the words; misspelt, a fifth of the letters swapped; empty (default: right)",
    )
    option("--wrong-text", help="another domain's sentence, where the datasets have one domain")
    option("--seed", type=number, default=0, help="seed of wrong and misspelt sentences (default: 0)")


def _add_measuring(group: Any) -> None:
    option = group.add_argument
    option("--protocol", default="release", help="release, zoedepth or a folder of protocols (default: release)")
    option(
        "--set",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="other options of the protocol, such as crop=kitti_eigen flip_average=true reader.encoding=rotated",
    )
    option(
        "--alignment",
        nargs="+",
        default=[],
        metavar="NAME",
        help="with ground truth, such as median, linear (per image), global (over a dataset), global_all (over all of "
        "them), linear_depth (in depth); an unknown name lists them all",
    )
    option(
        "--size",
        nargs="+",
        default=["protocol"],
        metavar="SIZE",
        help="size of the network's input: protocol, model, or height and width (default: protocol)",
    )
    option(
        "--kind",
        choices=["reproduced", "fixture"],
        help="what the numbers are (default: reproduced for whole published datasets by their "
        "protocol, fixture for all else)",
    )


def _add_output(group: Any) -> None:
    option = group.add_argument
    option("--out", "-o", type=Path, default=Path("evaluation"), help="folder to write (default: evaluation)")
    option("--also", nargs="+", type=Path, default=[], metavar="FILE", help="other runs' metrics.json, for the tables")
    option(
        "--save-predictions", action="store_true", help="keep them as shards; repeated, only what is missing is done"
    )
    option("--part", metavar="K/N", help="predict every N-th picture from the K-th on, and measure nothing")
    option("--no-pictures", action="store_true", help="draw no error maps, and none of where maps mend relative depth")


def _add_machine(group: Any) -> None:
    option = group.add_argument
    option("--batch-size", type=count, default=4, help="pictures at a time (default: 4)")
    option("--workers", type=number, default=2, help="processes that read pictures (default: 2)")
    option("--device", default="auto", help="torch device (default: auto)")
    option("--dtype", default="float32", help="precision of transformers' networks (default: float32)")


def _run(args: argparse.Namespace) -> int:
    from tr2m_plugin.benchmark.datasets import choose_entries, open_datasets
    from tr2m_plugin.benchmark.estimators import open_estimator
    from tr2m_plugin.benchmark.evaluation import Evaluation
    from tr2m_plugin.benchmark.results import read_metrics

    options = _options(args)
    _check_out(args.out)
    changes, returns = _changes(args.set), _returns(args)
    also = [read_metrics(path) for path in args.also]
    if args.predictions and (args.part or args.weights):
        raise InputError("--part and --weights are for models, not for predictions on disk")
    entries = choose_entries(
        args.datasets, args.roots if args.roots != ROOTS or ROOTS.is_file() else None, args.profile
    )
    datasets = open_datasets(entries, args.protocol, changes, args.limit)
    if options.part is None:
        _check_out(args.out, dict.fromkeys([*(data.name for data in datasets), *_measured(also)]))
    for data in datasets:
        print(f"{data.name}: {len(data.rows)} pictures, protocol {data.protocol.name} {data.protocol.hash}", flush=True)
    evaluation = Evaluation(datasets, args.out, options)
    stored = [_predictions(folder, datasets, args, returns) for folder in args.predictions]
    for model in dict.fromkeys(args.model):
        evaluation.add_model(open_estimator(model, args.weights, args.device, args.dtype, returns))
        if options.part is None:
            evaluation.write(also)  # what is measured stays, whatever the next model does
    for predictions in stored:
        evaluation.add_predictions(predictions)
        evaluation.write(also)
    if options.part is None:
        _print(evaluation.write(also))
        print(f"written: {args.out / 'metrics.json'}, tables and pictures beside it")
    else:
        print(f"written: {args.out / 'predictions'}; measure them without --part once all parts are there")
    failures = evaluation.failures()
    for name, sample, reason in failures[:5]:
        print(f"tr2m: {name}/{sample}: {reason}", file=sys.stderr)
    if failures:
        print(f"tr2m: {len(failures)} pictures failed and are not in the numbers", file=sys.stderr)
    return 2 if failures else 0


def _options(args: argparse.Namespace) -> Any:
    from tr2m_plugin.benchmark.run import Options

    if not args.model and not args.predictions:
        raise InputError("give models with --model, or predictions on disk with --predictions")
    if args.part and not args.model:
        raise InputError("--part predicts: it needs --model")
    return Options(
        alignments=args.alignment,
        descriptions=args.which_text,
        tables=args.text_tables,
        text=args.text,
        wrong_text=args.wrong_text,
        seed=args.seed,
        size=_size(args.size),
        kind=args.kind,
        save=args.save_predictions,
        part=_part(args.part),
        batch_size=args.batch_size,
        workers=args.workers,
        pictures=not args.no_pictures,
    )


def _size(given: list[str]) -> str | tuple[int, int]:
    if len(given) == 1 and given[0] in ("protocol", "model"):
        return given[0]
    if len(given) == 2 and all(side.isdecimal() and int(side) > 0 for side in given):
        return int(given[0]), int(given[1])
    raise InputError(f"--size is protocol, model, or height and width, not {' '.join(given)}")


def _part(given: str | None) -> tuple[int, int] | None:
    if given is None:
        return None
    part, _, parts = given.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise InputError(f"--part is K/N with K from 1 to N, not {given!r}")
    return int(part), int(parts)


def _changes(given: list[str]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for name, value in parse_options(given).items():
        section, dot, option = name.partition(".")
        if dot:
            changes.setdefault(section, {})[option] = value
        else:
            changes[name] = value
    return changes


def _returns(args: argparse.Namespace) -> Any:
    from tr2m_plugin.benchmark.estimators import Returns

    if args.returns is None:
        if args.unit is not None:
            raise InputError("--unit needs --returns depth or --returns disparity beside it")
        return None
    if args.unit is None:
        raise InputError("--returns needs --unit: m, mm, dataset (each dataset's own) or none (affine-invariant)")
    unit = args.unit if args.unit in ("m", "mm") else None
    return Returns(args.returns, metric=args.unit != "none", unit=unit)


def _check_out(folder: Path, names: Iterable[str] = ()) -> None:
    """Raises an InputError when files that an evaluation of those datasets would replace are not an evaluation's."""
    from tr2m_plugin.benchmark.paper_tables import TABLES
    from tr2m_plugin.benchmark.results import file_name, read_metrics

    def is_ours(_: Path) -> bool:
        try:
            read_metrics(folder / WRITTEN[0])
        except InputError:
            return False
        return True

    known = [file_name(name) for name in names]
    tables = [f"table_{number}" for number in TABLES] + [f"dataset_{name}" for name in known]
    drawn = [f"{table}.{ending}" for table in tables for ending in ("md", "tex")] if known else []
    pictures = [f"{kind}_{name}.png" for name in known for kind in ("errors", "corrections")]
    for file in (*WRITTEN, *drawn, *pictures):
        check_file(folder / file, is_ours, "an evaluation's")


def _measured(also: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Names of the datasets of other runs."""
    yield from (name for metrics in also for entry in metrics.values() for name in entry["datasets"])


def _predictions(folder: Path, datasets: Sequence[Any], args: argparse.Namespace, returns: Any) -> list[Any]:
    """Opens one program's predictions, each with the dataset that they are of."""
    from tr2m_plugin.benchmark.predictions import StoredPredictions
    from tr2m_plugin.benchmark.results import file_name

    found = []
    for data in datasets:
        named = (folder / data.name, folder / file_name(data.name))
        own = next((path for path in named if path.is_dir()), folder)
        if own == folder and len(datasets) > 1:
            raise InputError(f"{folder} has no folder {data.name}: predictions of several datasets lie in one each")
        found.append((StoredPredictions(own, returns, args.png_scale, folder.name), data))
    return found


def _print(metrics: Mapping[str, Any]) -> None:
    for method, entry in metrics.items():
        for dataset, values in entry["datasets"].items():
            shown = [(name, values[name]) for name in ("abs_rel", "rmse", "d1")]
            numbers = ", ".join(f"{name} {'–' if v is None else format(v, '.3f')}" for name, v in shown)
            empty = f", {values['empty']} without valid depth" if values["empty"] else ""
            print(f"{method} on {dataset}: {numbers} ({values['images']} images{empty})")
