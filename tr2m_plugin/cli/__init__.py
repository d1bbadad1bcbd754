"""The `tr2m` command: a file per command, whose networks and tables are imported when it runs."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence

from tr2m_plugin.cli import convert, data, describe, download, evaluate, features, predict, serve
from tr2m_plugin.errors import TR2MError
from tr2m_plugin.version import __version__


def make_parser() -> argparse.ArgumentParser:
    """Makes the parser of all commands."""
    parser = argparse.ArgumentParser(prog="tr2m", description="Metric depth from a picture and a sentence.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    for command in (predict, serve, download, convert, features, describe, evaluate, data):
        command.add(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; the exit status is 2 after an expected error, 130 after an interruption."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names need not be in the terminal's encoding
            stream.reconfigure(errors="backslashreplace")
    args = make_parser().parse_args(argv)
    from tr2m_plugin import registry as registry

    try:
        return args.run(args)
    except (TR2MError, OSError) as error:
        print(f"tr2m: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("tr2m: interrupted", file=sys.stderr)
        return 130
