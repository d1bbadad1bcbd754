"""The command `tr2m convert`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from tr2m_plugin.cli.options import count


def add(commands: Any) -> None:
    """Declares the command."""
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
    convert.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from tr2m_plugin.inference.convert import RELEASED_NETWORKS, convert_release

    given = {name: value for name in RELEASED_NETWORKS if (value := getattr(args, name))}
    left_out = convert_release(args.release, args.out, args.num_heads, args.size, args.skip_unknown, **given)
    if left_out:
        print(f"tr2m: left out {', '.join(left_out)}", file=sys.stderr)
    stands_on = ", ".join({**RELEASED_NETWORKS, **given}.values())
    print(f"{args.out}: use it as `tr2m predict --model {args.out}`; it stands on {stands_on}")
    return 0
