"""Evaluates a checkpoint on a config's test split: what `mim test tr2m_plugin CONFIG CHECKPOINT` runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mmengine.config import Config

from tr2m_plugin.checkpoint import register_safe_loader
from tr2m_plugin.tools.train import configure, parser, report
from tr2m_plugin.training import WeightsRunner


def evaluate(config: Config, checkpoint: str) -> None:
    """Evaluates the weights of a checkpoint as a config says.

    Raises:
        InputError: they are not those of the config's model.
    """
    config.load_from = checkpoint
    register_safe_loader()
    WeightsRunner.from_cfg(config).test()


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; see `report` for the exit status."""
    arguments = parser(__doc__)
    arguments.add_argument("checkpoint", help="weights")
    args = arguments.parse_args(argv)
    return report("test", lambda: evaluate(configure(args), args.checkpoint))


if __name__ == "__main__":
    sys.exit(main())
