"""The command `tr2m predict`."""

from __future__ import annotations

import argparse
import errno
import sys
from functools import partial
from pathlib import Path
from typing import Any

from tr2m_plugin.cli.options import count
from tr2m_plugin.cli.predict_options import (
    add_anchors,
    add_camera,
    add_confidence,
    anchors_of,
    cloud_of,
    confidence_of,
)
from tr2m_plugin.cli.predict_video import add_videos, find_videos, predict_videos
from tr2m_plugin.cli.sentences import add_sentences, find_sentences
from tr2m_plugin.errors import InputError

FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the system says when a disk is full."""


def add(commands: Any) -> None:
    """Declares the command."""
    predict = commands.add_parser(
        "predict",
        help="metric depth of pictures and videos",
        description="Predicts metric depth of pictures or folders of pictures and writes, for each, depth as .npy and "
        "16-bit PNG with its scale, a coloured picture with a bar and, with a camera, a point cloud or a mesh. Of a "
        "video it writes depth of all frames as .h5 and a coloured video.",
    )
    option = predict.add_argument
    option("pictures", nargs="+", help="pictures or folders of pictures, or videos")
    add_sentences(predict)
    option("--out", type=Path, default=Path("predictions"), help="folder to write (default: predictions)")
    option(
        "--model",
        help="model folder, tr2m_da_small (the authors' weights, fetched at first use) or config with --weights "
        "(default: tr2m_da_small if it is here, see `tr2m download`, otherwise the package's small tr2m_mini)",
    )
    option("--weights", help="checkpoint to use instead of the model folder's weights")
    option("--size", type=count, nargs=2, metavar=("H", "W"), help="size of the network's input (default: the model's)")
    option("--device", default="auto", help="torch device (default: auto)")
    option("--batch-size", type=count, default=8, help="pictures at a time (default: 8)")
    option("--unit", choices=["m", "mm"], help="unit that depth is given in (default: by the description)")
    option("--png-unit", choices=["mm"], help="unit of the 16-bit PNG, as ROS reads it (default: the finest)")
    add_camera(predict.add_argument_group("the camera and its points"))
    add_anchors(predict.add_argument_group("depth that is known, to which predictions are brought"))
    add_confidence(predict)
    add_videos(predict.add_argument_group("videos"))
    predict.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from tr2m_plugin.datasets.pictures import name_pictures
    from tr2m_plugin.inference.camera import Cameras
    from tr2m_plugin.inference.outputs import write_prediction

    if videos := find_videos(args):
        return predict_videos(args, videos, partial(_inferencer, args))
    cameras, cloud, confidence = Cameras(args.fov, args.intrinsics, args.camera), cloud_of(args), confidence_of(args)
    named = dict(name_pictures(args.pictures, skip=args.out))
    total = len(named)
    errors: list[Exception] = []
    reasons: set[str] = set()

    def complain(error: Exception) -> None:
        errors.append(error)
        print(f"tr2m: {error}", file=sys.stderr)

    texts = find_sentences(args, named, complain)
    inferencer = _inferencer(args)
    described = [named[name] for name in texts]
    sentences = args.text or list(texts.values())
    predictions = inferencer.predict(
        described,
        sentences,
        args.unit,
        args.batch_size,
        on_error=complain,
        names=list(texts),
        anchors=anchors_of(args),
        confidence=confidence,
    )
    done = 0
    for prediction in predictions:
        depth, unit = prediction.depth, prediction.unit
        if unit == "mm" and prediction.unit_reason not in reasons:
            reasons.add(prediction.unit_reason)
            print(f"tr2m: {prediction.name}: depth is in mm: {prediction.unit_reason}", file=sys.stderr)
        try:
            camera = cameras.of(depth.shape, prediction.source)
            files = write_prediction(args.out, prediction, camera, args.png_unit, cloud)
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


def _inferencer(args: argparse.Namespace) -> Any:
    from tr2m_plugin.inference.inferencer import TR2MInferencer

    model = args.model or ("tr2m_mini" if args.weights else default_model())
    return TR2MInferencer(model, args.weights, args.device, show_progress=False, size=args.size)


def default_model() -> str:
    """The model that is taken where none is asked for."""
    from tr2m_plugin.inference.released import AUTHORS, PACKAGED, is_installed

    if is_installed(AUTHORS):
        return AUTHORS
    seen = f"{PACKAGED} predicts, which has seen rendered pictures only"
    print(f"tr2m: {seen}: `tr2m download {AUTHORS}` fetches the authors' weights", file=sys.stderr)
    return PACKAGED
