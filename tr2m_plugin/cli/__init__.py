"""The `tr2m` command."""

from __future__ import annotations

import argparse
import errno
import io
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tr2m_plugin import __version__
from tr2m_plugin.cli.evaluate import add_data, add_evaluate
from tr2m_plugin.cli.options import count
from tr2m_plugin.errors import InputError, TR2MError
from tr2m_plugin.replacing import PNG_MARK, check_file, has_columns, is_drawing

FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the system says when a disk is full."""


def _predict(args: argparse.Namespace) -> int:
    from tr2m_plugin.datasets.pictures import name_pictures
    from tr2m_plugin.inference.camera import camera_of, check_camera
    from tr2m_plugin.inference.inferencer import TR2MInferencer
    from tr2m_plugin.inference.outputs import write_prediction

    if args.text is not None and not args.text.strip():
        raise InputError("the text is empty: describe the scene in a sentence")
    check_camera(args.fov, args.intrinsics)
    total = len(name_pictures(args.pictures, skip=args.out))
    inferencer = TR2MInferencer(args.model, args.weights, args.device, show_progress=False, size=args.size)
    errors: list[Exception] = []
    reasons: set[str] = set()

    def complain(error: Exception) -> None:
        errors.append(error)
        print(f"tr2m: {error}", file=sys.stderr)

    predictions = inferencer.predict(
        args.pictures, args.text, args.unit, args.batch_size, skip=args.out, on_error=complain
    )
    done = 0
    for prediction in predictions:
        depth, unit = prediction.depth, prediction.unit
        if unit == "mm" and prediction.unit_reason not in reasons:
            reasons.add(prediction.unit_reason)
            print(f"tr2m: {prediction.name}: depth is in mm: {prediction.unit_reason}", file=sys.stderr)
        try:
            camera = camera_of(depth.shape, args.fov, args.intrinsics)
            files = write_prediction(args.out, prediction, camera, args.png_unit)
        except Exception as error:  # one picture's, unless the disk is full
            if isinstance(error, OSError) and error.errno in FULL:
                raise InputError(f"{args.out}: {error.strerror}: make room and run it again") from error
            complain(error if isinstance(error, InputError) else InputError(f"{prediction.name}: {error}"))
            continue
        done += 1
        found = f"{depth.min():.3g} to {depth.max():.3g} {unit}"
        print(f"[{done + len(errors)}/{total}] {found}: {files[0]} and {len(files) - 1} more files", flush=True)
        if args.png_unit and (depth.max() > 65.535 if unit == "m" else depth.max() > 65535):
            print(f"tr2m: {files[1]}: depth beyond 65.535 m is 0, no measurement", file=sys.stderr)
    if errors:
        print(f"tr2m: {len(errors)} of {total} pictures failed", file=sys.stderr)
    return 2 if errors else 0


def _convert(args: argparse.Namespace) -> int:
    from tr2m_plugin.inference.convert import NETWORKS, convert_release

    given = {name: value for name in NETWORKS if (value := getattr(args, name))}
    left_out = convert_release(args.release, args.out, args.num_heads, args.size, args.skip_unknown, **given)
    if left_out:
        print(f"tr2m: left out {', '.join(left_out)}", file=sys.stderr)
    stands_on = ", ".join({**NETWORKS, **given}.values())
    print(f"{args.out}: use it as `tr2m predict --model {args.out}`; it stands on {stands_on}")
    return 0


def _add_convert(commands: Any) -> None:
    convert = commands.add_parser(
        "convert",
        help="the authors' released weights as a model folder",
        description="Writes the authors' released TR2M weights as a model folder: safetensors and a config that "
        "`tr2m predict --model` and TR2MInferencer open.",
    )
    convert.add_argument("release", help="the released .pth file")
    convert.add_argument("out", type=Path, help="folder to write")
    convert.add_argument(
        "--size", type=count, nargs=2, default=[434, 560], metavar=("H", "W"), help="(default: 434 560)"
    )
    convert.add_argument("--num-heads", type=count, default=8, help="attention heads (default: 8)")
    for network in ("image-encoder", "text-encoder", "relative-depth"):
        convert.add_argument(f"--{network}", help="hub id or folder (default: the release's)")
    convert.add_argument("--skip-unknown", action="store_true", help="leave out tensors that are not the head's")
    convert.set_defaults(run=_convert)


def _describe(args: argparse.Namespace) -> int:
    from tr2m_plugin.description.describers import describe_pictures

    is_ours = partial(has_columns, names=("dataset", "sample_id", "source", "text"))
    check_file(args.out, is_ours, "a table of descriptions")
    written, errors = describe_pictures(args.pictures, args.out, args.describer, args.options, args.device)
    print(f"{args.out}: {written} sentences")
    for name, reason in errors[:5]:
        print(f"tr2m: {name}: {reason}", file=sys.stderr)
    if errors:
        print(f"tr2m: {len(errors)} pictures failed", file=sys.stderr)
    return 2 if errors else 0


def _add_describe(commands: Any) -> None:
    describe = commands.add_parser(
        "describe",
        help="sentences about pictures, as a table",
        description="Describes pictures or folders of pictures and writes the table of descriptions. For many pictures "
        "on many processors use the pipeline's stage `describe`, which goes on after an interruption.",
    )
    describe.add_argument("pictures", nargs="+", help="pictures or folders of pictures")
    describe.add_argument("--out", "-o", type=Path, default=Path("descriptions.parquet"), help="Parquet file to write")
    describe.add_argument(
        "--describer",
        choices=["llava-vicuna", "llava-mistral", "maskdino", "transformers"],
        default="llava-vicuna",
        help="(default: llava-vicuna)",
    )
    describe.add_argument(
        "--options",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="such as model=FOLDER sample=true",
    )
    describe.add_argument("--device", default="auto", help="torch device (default: auto)")
    describe.set_defaults(run=_describe)


def _features(args: argparse.Namespace) -> int:
    from tr2m_plugin.benchmark.features import LOADERS, collect_features, hooked, loader_name
    from tr2m_plugin.inference.outputs import write_png
    from tr2m_plugin.tools.train import load_config
    from tr2m_plugin.visualization.features import draw_features

    check_file(args.out, is_drawing, "a picture that tr2m drew")
    config = load_config(args.config, data_root=args.data_root)
    hook = hooked(config)
    feature = args.feature or hook.get("feature")
    if not feature:
        raise InputError(f"{args.config} has no SOCHook: name a submodule with --feature")
    if (source := loader_name(config)) != LOADERS[0]:
        print(f"no {LOADERS[0]}: the pictures are those of {source}", file=sys.stderr)
    given = hook.get("index", ()) if args.index is None else args.index
    given = [given] if isinstance(given, (int, str)) else given
    index = [int(step) if str(step).lstrip("-").isdigit() else step for step in given]
    panels = {}
    for number, checkpoint in enumerate(args.checkpoints, 1):
        found = collect_features(config, checkpoint, feature, index, args.pictures)
        name = f"{Path(checkpoint).parent.name}/{Path(checkpoint).name}"
        separation = f"class separation {found.separation():.3f}"
        print(f"{name}: {separation}", flush=True)
        panels[f"{number}: {name}\n{separation}"] = found
    write_png(args.out, draw_features(panels, args.method)[..., ::-1], PNG_MARK)
    print(f"written: {args.out}")
    return 0


def _add_features(commands: Any) -> None:
    features = commands.add_parser(
        "features",
        help="how far a model's features are ordered by depth",
        description="For each checkpoint prints the class separation of a submodule's features on validation pictures "
        "and draws them in a plane, coloured by depth class.",
    )
    features.add_argument("config", help="config of the model and of its validation data")
    features.add_argument("checkpoints", nargs="+", help="checkpoints to compare, such as one with and one without SOC")
    features.add_argument("--feature", help="name of the submodule (default: the config's SOCHook's)")
    features.add_argument("--index", nargs="+", help="which part of its output, as SOCHook's `index`")
    features.add_argument("--pictures", type=count, default=16, help="how many (default: 16)")
    features.add_argument("--method", choices=["tsne", "pca"], default="tsne", help="(default: tsne)")
    features.add_argument("--data-root", help="folder with the pipeline's tables (default: the config's)")
    features.add_argument("--out", type=Path, default=Path("features.png"), help="(default: features.png)")
    features.set_defaults(run=_features)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tr2m", description="Metric depth from a picture and a sentence.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    predict = commands.add_parser(
        "predict",
        help="metric depth of pictures",
        description="Predicts metric depth of pictures or folders of pictures and writes, for each, depth as .npy and "
        "16-bit PNG with its scale, a coloured picture with a bar and, with a camera, a point cloud.",
    )
    predict.add_argument("pictures", nargs="+", help="pictures or folders of pictures")
    predict.add_argument("--text", help="a sentence about the scene (default: NAME.txt beside each picture)")
    predict.add_argument("--out", type=Path, default=Path("predictions"), help="folder to write (default: predictions)")
    predict.add_argument(
        "--model", default="tr2m_mini", help="model folder, or config with --weights (default: tr2m_mini)"
    )
    predict.add_argument("--weights", help="checkpoint to use instead of the model folder's weights")
    predict.add_argument(
        "--size", type=count, nargs=2, metavar=("H", "W"), help="size of the network's input (default: the model's)"
    )
    predict.add_argument("--device", default="auto", help="torch device (default: auto)")
    predict.add_argument("--batch-size", type=count, default=8, help="pictures at a time (default: 8)")
    predict.add_argument("--unit", choices=["m", "mm"], help="that depth is given in (default: by the description)")
    predict.add_argument("--png-unit", choices=["mm"], help="of the 16-bit PNG, as ROS reads it (default: the finest)")
    predict.add_argument("--fov", type=float, help="horizontal field of view in degrees, for a point cloud")
    predict.add_argument(
        "--intrinsics", type=float, nargs=4, metavar=("FX", "FY", "CX", "CY"), help="in pixels, for a point cloud"
    )
    predict.set_defaults(run=_predict)
    _add_convert(commands)
    _add_features(commands)
    _add_describe(commands)
    add_evaluate(commands)
    add_data(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; the exit status is 2 after an expected error, 130 after an interruption."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names need not be in the terminal's encoding
            stream.reconfigure(errors="backslashreplace")
    args = _parser().parse_args(argv)
    from tr2m_plugin import registry as registry

    try:
        return args.run(args)
    except (TR2MError, OSError) as error:
        print(f"tr2m: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("tr2m: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
