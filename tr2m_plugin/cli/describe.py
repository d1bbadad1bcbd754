"""The command `tr2m describe`."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

from tr2m_plugin.cli.options import parse_options
from tr2m_plugin.description.describers import command_names
from tr2m_plugin.replacing import check_file, has_columns


def add(commands: Any) -> None:
    """Declares the command."""
    describe = commands.add_parser(
        "describe",
        help="sentences about pictures, as a table",
        description="Describes pictures or folders of pictures and writes the table of descriptions. For many pictures "
        "on many processors use the pipeline's stage `describe`, which goes on after an interruption.",
    )
    known = list(command_names())
    option = describe.add_argument
    option("pictures", nargs="+", help="pictures or folders of pictures")
    option("--out", "-o", type=Path, default=Path("descriptions.parquet"), help="Parquet file to write")
    option("--describer", choices=known, default="llava-vicuna", help="(default: llava-vicuna)")
    option("--options", nargs="+", default=[], metavar="NAME=VALUE", help="such as model=FOLDER sample=true")
    option("--device", default="auto", help="torch device (default: auto)")
    describe.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from tr2m_plugin.description.pictures import describe_pictures

    is_ours = partial(has_columns, names=("dataset", "sample_id", "source", "text"))
    check_file(args.out, is_ours, "a table of descriptions")
    kind, options = command_names()[args.describer]
    given = {**options, **parse_options(args.options)}
    written, errors = describe_pictures(args.pictures, args.out, kind, given, args.device)
    print(f"{args.out}: {written} sentences")
    for name, reason in errors[:5]:
        print(f"tr2m: {name}: {reason}", file=sys.stderr)
    if errors:
        print(f"tr2m: {len(errors)} pictures failed", file=sys.stderr)
    return 2 if errors else 0
