"""The command `tr2m data`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tr2m_plugin.cli.options import number, parse_options
from tr2m_plugin.replacing import check_file, is_drawing


def add(commands: Any) -> None:
    """Declares the command."""
    data = commands.add_parser("data", help="published datasets on disk").add_subparsers(dest="what", required=True)
    verify = data.add_parser(
        "verify",
        help="whether a dataset is whole",
        description="Counts a dataset's pictures against the published numbers, decodes a sample of its files, and "
        "says what is missing and where to get it.",
    )
    show = data.add_parser(
        "show",
        help="a picture with its depth and descriptions",
        description="Writes a picture of a dataset, its depth and its descriptions side by side.",
    )
    for parser in (verify, show):
        parser.add_argument("dataset", help="such as nyu; an unknown name lists them all")
        parser.add_argument("root", help="its folder")
        parser.add_argument("--protocol", default="release", help="how its files are read (default: release)")
        parser.add_argument("--options", nargs="+", default=[], metavar="NAME=VALUE", help="options of its reader")
    verify.add_argument("--sample", type=number, default=20, help="files to decode of each split (default: 20)")
    verify.set_defaults(run=_verify)
    show.add_argument("sample", help="sample id, or a number in the dataset's order")
    show.add_argument("--text-tables", nargs="+", type=Path, default=[], help="tables, or RSA's folder `text`")
    show.add_argument("--out", "-o", type=Path, default=Path("sample.png"), help="(default: sample.png)")
    show.set_defaults(run=_show)


def _verify(args: argparse.Namespace) -> int:
    from tr2m_plugin.benchmark.verify import verify_dataset

    report = verify_dataset(args.dataset, args.root, args.protocol, args.sample, parse_options(args.options))
    print("\n".join(report.lines))
    return 0 if report.good else 2


def _show(args: argparse.Namespace) -> int:
    from tr2m_plugin.benchmark.verify import show_sample

    check_file(args.out, is_drawing, "a picture that tr2m drew")
    out = show_sample(
        args.dataset, args.root, args.sample, args.out, args.protocol, args.text_tables, parse_options(args.options)
    )
    print(f"written: {out}")
    return 0
