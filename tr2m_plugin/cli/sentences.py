"""Where `tr2m predict` takes its sentences from: one for all, text files, a describer, or a kind of scene."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tr2m_plugin.cli.options import parse_options
from tr2m_plugin.description.describers import command_names
from tr2m_plugin.description.templates import SCENES
from tr2m_plugin.errors import InputError, attempt

WAYS = (
    'give --text "A small kitchen.", or a text file beside each picture; or --describe NAME '
    f"({', '.join(command_names())}); or --scene {'|'.join(SCENES)}, which is rough"
)
"""What there is to do about pictures without a sentence."""


class _Sentences(argparse.Action):
    """Keeps the first sentence under the option's name, and further ones as `more_text`."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option: str | None = None) -> None:
        if namespace.text is None:
            namespace.text = values
        else:
            namespace.more_text = [*namespace.more_text, values]


def add_sentences(parser: Any) -> None:
    """Declares the options."""
    option = parser.add_argument_group("sentences").add_mutually_exclusive_group().add_argument
    text = "a sentence about the scene, and further ones for --confidence (default: NAME.txt beside each picture)"
    option("--text", action=_Sentences, help=text)
    parser.set_defaults(more_text=[])
    option(
        "--describe",
        choices=list(command_names()),
        metavar="NAME",
        help=f"who describes pictures without such a file first: {', '.join(command_names())}",
    )
    option("--scene", choices=list(SCENES), help="a sentence of that kind of scene, for pictures without such a file")
    parser.add_argument(
        "--describe-options",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="options of that describer, such as model=FOLDER; see tr2m describe",
    )


def find_sentences(
    args: argparse.Namespace, named: Mapping[str, Any], complain: Callable[[Exception], None]
) -> dict[str, str]:
    """The sentence of each picture that has one, or can be described, by its name and in their order.

    Args:
        args: the command's.
        named: files of the pictures by name.
        complain: is told of each other picture.

    Raises:
        InputError: the text is empty, options are nobody's, or no picture has a sentence and none is to be made; then
            the message shows the ways.
    """
    from tr2m_plugin.datasets.pictures import find_sentence, read_sentence

    if args.describe_options and not args.describe:
        raise InputError("--describe-options are of a describer: name it with --describe")
    if args.text is not None:
        if not args.text.strip():
            raise InputError("the text is empty: describe the scene in a sentence")
        return dict.fromkeys(named, args.text)
    lacking = {name: path for name, path in named.items() if find_sentence(path) is None}
    if len(lacking) == len(named) and not (args.scene or args.describe):
        others = f", nor have the other {len(named) - 1}" if len(named) > 1 else ""
        raise InputError(f"{next(iter(lacking.values()))} has no description{others}: {WAYS}")
    found = _made(args, lacking, complain)
    failed: dict[str, str] = {}
    for name, path in named.items():
        text = None if name in lacking else attempt(partial(read_sentence, path), name, failed)
        found |= {name: text} if text else {}
    for reason in failed.values():
        complain(InputError(reason))
    return {name: found[name] for name in named if name in found}


def _made(
    args: argparse.Namespace, lacking: Mapping[str, Path], complain: Callable[[Exception], None]
) -> dict[str, str]:
    """Sentences for pictures that have none."""
    if args.scene:
        return dict.fromkeys(lacking, SCENES[args.scene])
    if args.describe and lacking:
        from tr2m_plugin.description.pictures import first_sentences

        kind, options = command_names()[args.describe]
        given = {**options, **parse_options(args.describe_options)}
        found, failed = first_sentences(list(lacking.items()), kind, given, args.device)
        for name, text in found.items():
            print(f"{name}: {text}")
        for file, reason in failed.items():
            complain(InputError(f"{file}: {reason}"))
        return found
    for path in lacking.values():
        complain(InputError(f"{path} has no description"))
    if lacking:
        print(f"tr2m: for those without a description {WAYS}", file=sys.stderr)
    return {}
