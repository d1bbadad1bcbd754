"""The part of `tr2m predict` that is about videos."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tr2m_plugin.cli.options import factor, parse_options
from tr2m_plugin.cli.sentences import find_sentences
from tr2m_plugin.description.describers import command_names
from tr2m_plugin.errors import InputError

OF_VIDEOS = ("describe_every", "steady", "depth_dtype")
OF_PICTURES = (
    *("anchor", "cloud", "fov", "intrinsics", "camera", "png_unit", "keep_edges", "max_depth"),
    *("confidence", "more_text"),
)
"""Options that mean nothing for the other."""


def add_videos(group: Any) -> None:
    """Declares the options."""
    option = group.add_argument
    option("--describe-every", type=factor, metavar="SECONDS", help="describe anew so often (default: once)")
    option(
        "--steady",
        type=factor,
        nargs="?",
        const=0.5,
        metavar="SECONDS",
        help="hold the global scale by a filter that follows with that delay (0.5 if none is given)",
    )
    option("--depth-dtype", choices=["float16", "float32"], help="precision of depth in the file (default: float16)")


def find_videos(args: argparse.Namespace) -> list[str]:
    """The videos that the command is for; none where it is for pictures.

    Raises:
        InputError: it is for both, or an option is not of them.
    """
    from tr2m_plugin.datasets.videos import is_video

    videos = [source for source in args.pictures if is_video(source)]
    if videos and len(videos) < len(args.pictures):
        other = next(source for source in args.pictures if source not in videos)
        raise InputError(f"{videos[0]} is a video and {other} is none: predict them separately")
    wrong = [name for name in (OF_PICTURES if videos else OF_VIDEOS) if getattr(args, name) not in (None, False, [])]
    if wrong:
        option = "a second --text" if wrong[0] == "more_text" else f"--{wrong[0].replace('_', '-')}"
        raise InputError(f"{option} is for {'pictures' if videos else 'videos'}: leave it out for {args.pictures[0]}")
    if args.describe_every is not None and not args.describe:
        raise InputError("--describe-every needs a describer: name it with --describe")
    return videos


def predict_videos(args: argparse.Namespace, videos: list[str], open_inferencer: Callable[[], Any]) -> int:
    """Predicts one after another; what is wrong with one is its own.

    Args:
        args: the command's.
        videos: files.
        open_inferencer: makes the inferencer, when a video can be read and has a sentence.
    """
    from tr2m_plugin.datasets.pictures import free_name, printable
    from tr2m_plugin.datasets.videos import Clip
    from tr2m_plugin.inference.video import predict_video

    names: set[str] = set()
    failed, inferencer = 0, None
    for source in videos:
        name = free_name(printable(Path(source).stem), names)
        names.add(name)
        try:
            clip = Clip(source)
            sentence = _sentence(args, name, Path(source))
            inferencer = inferencer or open_inferencer()
            given = {"unit": args.unit, "batch_size": args.batch_size, "steady": args.steady}
            dtype = args.depth_dtype or "float16"
            made = predict_video(inferencer.stream, clip, sentence, args.out / name, dtype=dtype, **given)
        except InputError as error:
            failed += 1
            print(f"tr2m: {error}", file=sys.stderr)
            continue
        found = f"{made.near:.3g} to {made.far:.3g} {made.unit}"
        print(f"{name}: {made.frames} frames, most of them {found}: {made.depth} and {made.color}", flush=True)
    if failed and len(videos) > 1:
        print(f"tr2m: {failed} of {len(videos)} videos failed", file=sys.stderr)
    return 2 if failed else 0


def _sentence(args: argparse.Namespace, name: str, path: Path) -> str | Callable[[Any], str]:
    """The sentence of a video, or what describes its frames."""
    from tr2m_plugin.datasets.pictures import find_sentence

    if args.describe and (args.describe_every is not None or find_sentence(path) is None):
        return _describing(args, name)

    def fail(error: Exception) -> None:
        raise error

    return find_sentences(args, {name: path}, fail)[name]


def _describing(args: argparse.Namespace, name: str) -> Callable[[Any], str]:
    """A function of frames that describes the first, and another every so many seconds."""
    from tr2m_plugin.description.frames import frame_describer

    kind, options = command_names()[args.describe]
    describe = frame_describer(kind, {**options, **parse_options(args.describe_options)}, args.device)
    every = args.describe_every or float("inf")
    said, due = "", 0.0

    def sentence(frame: Any) -> str:
        nonlocal said, due
        if frame.seconds < due:
            return said
        due = frame.seconds + every
        try:
            said = describe(f"{name} at {frame.seconds:.1f} s", frame.image)
        except InputError as error:
            if not said:
                raise
            print(f"tr2m: {error}; the sentence before stays", file=sys.stderr)
            return said
        print(f"{name} at {frame.seconds:.1f} s: {said}", flush=True)
        return said

    return sentence
