"""The command `tr2m download`."""

from __future__ import annotations

import argparse
from typing import Any


def add(commands: Any) -> None:
    """Declares the command."""
    download = commands.add_parser(
        "download",
        help="the authors' weights by name",
        description="Fetches the authors' released TR2M weights (76 MB; the authors state no licence: whether you may "
        "use them is for you to judge) and makes the model folder that `--model tr2m_da_small` opens. It is kept in "
        "TR2M_HOME (default: tr2m in XDG_CACHE_HOME or ~/.cache); TR2M_WEIGHTS_URL names another address of the file.",
    )
    download.add_argument("name", help="tr2m_da_small")
    download.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from tr2m_plugin.inference.convert import RELEASED_NETWORKS
    from tr2m_plugin.inference.released import install, releases

    folder = install(args.name)
    stands_on = ", ".join(RELEASED_NETWORKS.values())
    print(f"{folder}: use it as `tr2m predict --model {args.name}`; it stands on {stands_on}")
    print(f"SHA-256 of {releases()[args.name].file}: {releases()[args.name].known_hash}")
    return 0
