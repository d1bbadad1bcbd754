"""The command `tr2m serve`."""

from __future__ import annotations

import argparse
from typing import Any

from tr2m_plugin.cli.options import count, factor, number, parse_options
from tr2m_plugin.cli.predict import default_model
from tr2m_plugin.description.describers import command_names
from tr2m_plugin.errors import InputError


def add(commands: Any) -> None:
    """Declares the command."""
    serve = commands.add_parser(
        "serve",
        help="a page in the browser",
        description="Serves a page: a picture or the webcam and a sentence in, depth to look at, to measure and to "
        "take away. It is for this machine alone unless --host says otherwise, and has no password.",
    )
    option = serve.add_argument
    option("--model", help="see tr2m predict")
    option("--weights", help="checkpoint to use instead of the model folder's weights")
    option("--size", type=count, nargs=2, metavar=("H", "W"), help="size of the network's input (default: the model's)")
    option("--device", default="auto", help="torch device (default: auto)")
    known = list(command_names())
    option(
        "--describe", choices=known, metavar="NAME", help=f"who describes at the press of a button: {', '.join(known)}"
    )
    option("--describe-options", nargs="+", default=[], metavar="NAME=VALUE", help="see tr2m predict")
    option("--host", default="127.0.0.1", help="address to listen at (default: 127.0.0.1, this machine alone)")
    option("--port", type=number, default=7860, help="(default: 7860; 0 for one that is free)")
    option("--max-mb", type=factor, default=30, help="largest file of a picture in MB (default: 30)")
    option("--max-megapixels", type=factor, default=24, help="largest picture in million pixels (default: 24)")
    serve.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from tr2m_plugin.page.serving import serve

    if args.describe_options and not args.describe:
        raise InputError("--describe-options are of a describer: name it with --describe")
    options = parse_options(args.describe_options)

    def make_desk() -> Any:
        from tr2m_plugin.inference.inferencer import TR2MInferencer
        from tr2m_plugin.page.desk import Desk, Limits

        model = args.model or ("tr2m_mini" if args.weights else default_model())
        inferencer = TR2MInferencer(model, args.weights, args.device, show_progress=False, size=args.size)
        return Desk(inferencer, args.describe, options, args.device, Limits(args.max_mb, args.max_megapixels))

    serve(make_desk, args.host, args.port)
    return 0
