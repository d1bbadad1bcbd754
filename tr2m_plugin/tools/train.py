"""Trains a model from a config: what `mim train tr2m_plugin CONFIG` runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.runner import Runner, find_latest_checkpoint

from tr2m_plugin.checkpoint import register_safe_loader
from tr2m_plugin.errors import InputError, TR2MError

DATA_ROOT = "TR2M_DATA_ROOT"


def repository_file(config: str) -> str:
    """A packaged config's original in the repository, where that is there.

    An editable install holds copies of the configs under `.mim`, made when it was installed; the originals may have
    been edited since.
    """
    path = Path(config).resolve()
    parts = path.parts
    if ".mim" in parts:
        at = len(parts) - 1 - parts[::-1].index(".mim")
        original = Path(*parts[: at - 1], *parts[at + 1 :])
        if original.is_file():
            return str(original)
    return config


def set_data_root(data_root: str | None) -> None:
    """Decides where the configs find the pipeline's tables.

    The first that there is: `data_root`, the environment variable TR2M_DATA_ROOT, `work/mini` below the current folder,
    `work/mini` of the repository that this package is installed from.
    """
    if data_root is None and DATA_ROOT in os.environ:
        return
    below = Path("work") / "mini"
    repository = Path(__file__).resolve().parents[2] / below
    chosen = Path(data_root) if data_root else below if below.is_dir() or not repository.is_dir() else repository
    os.environ[DATA_ROOT] = str(chosen)


def load_config(path: str, options: dict | None = None, data_root: str | None = None) -> Config:
    """Reads a config.

    Args:
        path: the file.
        options: values to set, by dotted name.
        data_root: folder of the pipeline's tables; see `set_data_root`.

    Raises:
        InputError: the file does not exist or cannot be read.
    """
    if not Path(path).is_file():
        raise InputError(f"{path} does not exist")
    set_data_root(data_root)
    config = Config.fromfile(repository_file(path))
    if options:
        config.merge_from_dict(options)
    config.setdefault("work_dir", str(Path("work_dirs") / Path(path).stem))
    return config


def train(config: Config, resume: bool | str = False) -> Runner:
    """Trains and returns the runner.

    Args:
        config: a whole MMEngine config.
        resume: True goes on from the last checkpoint in the work folder, if there is one, and otherwise starts as the
            config says; a path goes on from that checkpoint.
    """
    register_safe_loader()
    # With `resume` and `load_from`, MMEngine would resume from the weights that training was to start from.
    last = resume if isinstance(resume, str) else find_latest_checkpoint(config.work_dir) if resume else None
    if last is not None:
        config.load_from = last
    config.resume = last is not None
    runner = Runner.from_cfg(config)
    runner.train()
    return runner


def parser(description: str | None) -> argparse.ArgumentParser:
    """Arguments that training and testing share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("config", help="config file")
    parser.add_argument("--work-dir", help="where logs and checkpoints go (default: work_dirs/CONFIG)")
    parser.add_argument("--data-root", help="folder with the pipeline's tables (default: $TR2M_DATA_ROOT or work/mini)")
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, help="config values to set, as key=value")
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none")
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0)
    return parser


def configure(args: argparse.Namespace) -> Config:
    """The config that the arguments ask for."""
    config = load_config(args.config, args.cfg_options, args.data_root)
    config.launcher = args.launcher
    if args.work_dir:
        config.work_dir = args.work_dir
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    return config


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; the exit status is 2 after an expected error."""
    arguments = parser(__doc__)
    arguments.add_argument("--resume", nargs="?", const=True, default=False, help="go on: last checkpoint, or this one")
    args = arguments.parse_args(argv)
    try:
        train(configure(args), args.resume)
    except TR2MError as error:
        print(f"train: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
