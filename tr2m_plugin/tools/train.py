"""Trains a model from a config: what `mim train tr2m_plugin CONFIG` runs."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import FunctionType
from typing import Any

import torch
from mmengine.config import Config, DictAction
from mmengine.runner import Runner

from tr2m_plugin.checkpoint import register_safe_loader
from tr2m_plugin.errors import InputError, TR2MError
from tr2m_plugin.training import TrainingRunner, alone_in, stopping_clearly

DATA_ROOT, BASE = "TR2M_DATA_ROOT", "TR2M_BASE"
EXPONENT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+")
_TRAININGS = count(1)


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


@contextmanager
def environment(name: str, value: str | None) -> Iterator[None]:
    """An environment variable for a while; None leaves it as it is."""
    before = os.environ.get(name)
    if value is not None:
        os.environ[name] = value
    try:
        yield
    finally:
        if value is not None:
            os.environ.pop(name)
            if before is not None:
                os.environ[name] = before


def with_numbers(value: Any) -> Any:
    """Settings in which numbers with an exponent are numbers.

    YAML 1.1 reads `1e-4` as text where it wants `1.0e-4`. Text that is such a number and nothing else becomes one; all
    other text stays, digits without an exponent too.

    Example:
        >>> with_numbers({"optim_wrapper.optimizer.lr": "1e-4", "name": "1e-4b", "id": "0001"})
        {'optim_wrapper.optimizer.lr': 0.0001, 'name': '1e-4b', 'id': '0001'}
    """
    if isinstance(value, dict):
        return {name: with_numbers(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(with_numbers(item) for item in value)
    return float(value) if isinstance(value, str) and EXPONENT.fullmatch(value) else value


def load_config(
    path: str, options: dict | None = None, data_root: str | None = None, base: str | None = None
) -> Config:
    """Reads a config, whose custom_imports may name modules in the current folder.

    Args:
        path: the file.
        options: values to set, by dotted name; `1e-4` as text is taken as the number, see `with_numbers`.
        data_root: folder of the pipeline's tables. Default: the environment variable TR2M_DATA_ROOT; without it the
            config's own, below the current folder or else below the repository that this package is installed from.
        base: name of the config that an ablation starts from. Default: the environment variable TR2M_BASE, without it
            tr2m_mixed.

    Raises:
        InputError: the file does not exist, or a module that it imports is not found.
    """
    if not Path(path).is_file():
        raise InputError(f"{path} does not exist")
    file = repository_file(path)
    if "" not in sys.path:  # as it is for `python -m`, and is not for a console script
        sys.path.append("")
    with environment(BASE, base), environment(DATA_ROOT, data_root):
        try:
            config = Config.fromfile(file)
        except ImportError as error:
            reason = error.__cause__ or error
            raise InputError(f"{path}: {reason}: run it where that module is, or set PYTHONPATH") from error
        own = config.get("data_root")
        elsewhere = Path(__file__).resolve().parents[2] / str(own)
        if own and DATA_ROOT not in os.environ and not Path(own).is_dir() and elsewhere.is_dir():
            with environment(DATA_ROOT, str(elsewhere)):
                config = Config.fromfile(file)
    if options:
        config.merge_from_dict(with_numbers(options))
    config.setdefault("work_dir", str(Path("work_dirs") / Path(path).stem))
    return config


def allow_processors(config: Config) -> None:
    """Lets a launcher's processes train without GPUs: with gloo, and without the device ids that MMEngine assumes."""
    if config.launcher == "none" or torch.cuda.is_available():
        return
    if config.launcher == "pytorch" and not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo")
    config.setdefault("model_wrapper_cfg", {"type": "mmengine.MMDistributedDataParallel", "device_ids": None})


def tell_batch(runner: Runner) -> None:
    """Warns where all processes together see another number of pictures a step than the config's recipe is for.

    The recipe's is `auto_scale_lr.base_batch_size`, as everywhere in OpenMMLab; `auto_scale_lr.enable` scales the
    learning rate to what there is.
    """
    scale, size = runner.cfg.get("auto_scale_lr") or {}, runner.world_size
    batch = (runner.cfg.get("train_dataloader") or {}).get("batch_size") or 0
    accumulated = (runner.cfg.get("optim_wrapper") or {}).get("accumulative_counts", 1)
    wanted, total = scale.get("base_batch_size"), batch * size * accumulated
    if wanted and total not in (0, wanted) and not scale.get("enable"):
        runner.logger.warning(
            f"{total} pictures a step ({size} process{'es' if size > 1 else ''} × {batch}"
            f"{f' × {accumulated} accumulated' if accumulated > 1 else ''}), where the config's learning rate is for "
            f"{wanted}: set train_dataloader.batch_size, which each process has, or auto_scale_lr.enable=True"
        )


def _functions(part: Any, place: str = "") -> Iterator[str]:
    """Where a config holds functions, such as a lambda."""
    if isinstance(part, FunctionType):
        yield place
    items = part.items() if isinstance(part, Mapping | Config) else enumerate(part) if isinstance(part, list) else ()
    for key, value in items:
        yield from _functions(value, f"{place}.{key}".lstrip(".") if isinstance(key, str) else f"{place}[{key}]")


def train(config: Config, resume: bool | str = False) -> Runner:
    """Trains and returns the runner.

    Args:
        config: a whole MMEngine config.
        resume: True goes on from the newest checkpoint in the work folder that can be read, if there is one, and
            otherwise starts as the config says; a path goes on from that checkpoint.

    Raises:
        InputError: the config holds a function, the checkpoint does not fit the config, another training writes to the
            work folder, or the disk is full; nothing that was saved is lost.
    """
    register_safe_loader()
    for place in _functions(config):
        raise InputError(
            f"{config.filename}: {place} is a function, which MMEngine cannot write into its log of the config: "
            "register it in FUNCTIONS and give its name, dict(type='its_name')"
        )
    config.setdefault("launcher", "none")
    allow_processors(config)
    config.resume = False
    # MMEngine keeps loggers by a name that changes with the second: two trainings within one would share them.
    config.experiment_name = f"{Path(config.filename or 'config').stem}_{next(_TRAININGS)}"
    with stopping_clearly(config.work_dir):
        runner = TrainingRunner.from_cfg(config)
        with alone_in(runner.work_dir):
            tell_batch(runner)
            runner.go_on(resume)
            runner.train()
    return runner


def parser(description: str | None) -> argparse.ArgumentParser:
    """Arguments that training and testing share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("config", help="config file")
    parser.add_argument("--work-dir", help="where logs and checkpoints go (default: work_dirs/CONFIG)")
    parser.add_argument(
        "--data-root", help="folder with the pipeline's tables (default: $TR2M_DATA_ROOT, or the config's)"
    )
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


def report(name: str, work: Callable[[], object], interrupted: str = "interrupted") -> int:
    """Does a command's work and returns its exit status: 2 after an expected error and 130 after Ctrl-C, in a line."""
    try:
        work()
    except TR2MError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{name}: {interrupted}", file=sys.stderr)
        return 130
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; see `report` for the exit status."""
    arguments = parser(__doc__)
    arguments.add_argument("--resume", nargs="?", const=True, default=False, help="go on: last checkpoint, or this one")
    args = arguments.parse_args(argv)
    return report("train", lambda: train(configure(args), args.resume), "interrupted; --resume goes on")


if __name__ == "__main__":
    sys.exit(main())
