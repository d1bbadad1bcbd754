"""Options of `tr2m predict` that say what is known of the pictures: their camera and some of their depth."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tr2m_plugin.cli.options import factor
from tr2m_plugin.errors import InputError


def add_camera(group: Any) -> None:
    """Declares the camera, and the files of points that it makes possible."""
    option, numbers = group.add_argument, ("FX", "FY", "CX", "CY")
    option("--fov", type=float, help="horizontal field of view in degrees")
    option("--intrinsics", type=float, nargs=4, metavar=numbers, help="in pixels of the upright picture")
    option("--camera", type=Path, metavar="FILE", help="camera file of OpenCV or ROS, or JSON (default: EXIF data)")
    option(
        "--cloud",
        nargs="+",
        choices=["ply", "glb", "none"],
        help="a cloud (.ply) or a textured mesh (.glb), in metres (default: ply where one of the above is given)",
    )
    option("--keep-edges", action="store_true", help="keep the points that fly at the edges of things")
    option("--max-depth", type=factor, metavar="METRES", help="farthest point of clouds (default: no end)")


def add_anchors(group: Any) -> None:
    """Declares depth that is known."""
    option = group.add_argument
    option(
        "--anchor",
        type=Path,
        metavar="FILE",
        help="points (.csv with the columns u, v, depth) or a depth map with holes (.png, 0 is unknown); for several "
        "pictures a folder of NAME.csv or NAME_depth.png",
    )
    option("--anchor-unit", choices=["m", "mm"], default="m", help="unit of these depths (default: m)")
    option("--png-scale", type=factor, help="factor from the numbers of their PNG files to the unit")


def add_confidence(group: Any) -> None:
    """Declares what says how sure a prediction is."""
    group.add_argument(
        "--confidence",
        action="store_true",
        help="write too how far predictions with other sentences (several --text, the lines of a picture's text file, "
        "or else paraphrases) and of the mirror image lie apart",
    )


def cloud_of(args: argparse.Namespace) -> Any:
    """The `Cloud` of the options."""
    from tr2m_plugin.inference.clouds import Cloud

    files = None if args.cloud is None else [name for name in args.cloud if name != "none"]
    return Cloud(files, args.keep_edges, args.max_depth)


def anchors_of(args: argparse.Namespace) -> Any:
    """The `Anchors` of the options; None where there are none."""
    from tr2m_plugin.inference.anchors import Anchors

    return None if args.anchor is None else Anchors(args.anchor, args.anchor_unit, args.png_scale)


def confidence_of(args: argparse.Namespace) -> Any:
    """Whether confidence is measured, or the further sentences for it.

    Raises:
        InputError: there are several sentences, and it is not.
    """
    if args.more_text and not args.confidence:
        raise InputError("several sentences are for --confidence: a prediction takes one --text")
    return args.more_text or args.confidence
