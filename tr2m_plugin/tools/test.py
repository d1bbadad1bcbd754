"""Evaluates a checkpoint on a config's test split: what `mim test tr2m_plugin CONFIG CHECKPOINT` runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mmengine.runner import Runner

from tr2m_plugin.checkpoint import register_safe_loader
from tr2m_plugin.errors import TR2MError
from tr2m_plugin.tools.train import configure, parser


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; the exit status is 2 after an expected error."""
    arguments = parser(__doc__)
    arguments.add_argument("checkpoint", help="weights")
    args = arguments.parse_args(argv)
    try:
        config = configure(args)
        config.load_from = args.checkpoint
        register_safe_loader()
        Runner.from_cfg(config).test()
    except TR2MError as error:
        print(f"test: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
