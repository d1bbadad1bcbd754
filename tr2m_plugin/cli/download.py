"""The command `tr2m download`."""

from __future__ import annotations

import argparse
from typing import Any


def add(commands: Any) -> None:
    """Declares the command."""
    download = commands.add_parser(
        "download",
        help="the authors' weights and captions by name",
        description="Fetches what the authors published, once, into TR2M_HOME (default: tr2m in XDG_CACHE_HOME or "
        "~/.cache). They state no licence: whether you may use it is for you to judge. TR2M_WEIGHTS_URL and "
        "TR2M_CAPTIONS_URL name other addresses of the two files.",
    )
    download.add_argument(
        "name",
        help="tr2m_da_small: the released TR2M weights (76 MB), as a model folder that `--model tr2m_da_small` opens; "
        "captions: sentences for the test pictures of KITTI and VOID, for --text-tables",
    )
    download.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    return _captions() if args.name == "captions" else _weights(args.name)


def _captions() -> int:
    from tr2m_plugin.description.published import install_captions

    folder = install_captions()
    print(f"{folder}: use it as `tr2m evaluate --text-tables {folder}`; it has the test pictures of KITTI and VOID")
    return 0


def _weights(name: str) -> int:
    from tr2m_plugin.inference.convert import RELEASED_NETWORKS
    from tr2m_plugin.inference.released import install, releases

    folder, stands_on = install(name), ", ".join(RELEASED_NETWORKS.values())
    print(f"{folder}: use it as `tr2m predict --model {name}`; it stands on {stands_on}")
    print(f"SHA-256 of {releases()[name].file}: {releases()[name].known_hash}")
    return 0
