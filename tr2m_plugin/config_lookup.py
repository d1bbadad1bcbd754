"""Lets configs inherit this package's: `_base_ = ["tr2m_plugin::tr2m_mini.py"]`."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config

from tr2m_plugin.errors import InputError

PREFIX = "tr2m_plugin::"


def config_folder() -> Path:
    """Where the configs are: the repository's, or in a package that was installed from a wheel its own."""
    package = Path(__file__).parent
    packaged = package / ".mim" / "configs"
    return packaged if packaged.is_dir() else package.parent / "configs"


def register_configs() -> None:
    """Teaches MMEngine's lookup of `package::config` this package.

    MMEngine 0.10.7 knows OpenMMLab's own packages only, wants a folder in every name, and needs `pkg_resources`, which
    setuptools has given up.
    """
    find = Config._get_cfg_path

    def with_ours(cfg_path: str, filename: str) -> tuple[str, str | None]:
        if not cfg_path.startswith(PREFIX):
            return find(cfg_path, filename)
        path = config_folder() / cfg_path[len(PREFIX) :]
        if not path.is_file():
            known = ", ".join(sorted(file.relative_to(config_folder()).as_posix() for file in path.parent.glob("*.py")))
            raise InputError(f"{filename} inherits {cfg_path}, which does not exist; beside it are {known or 'none'}")
        return str(path), None

    Config._get_cfg_path = staticmethod(with_ours)
