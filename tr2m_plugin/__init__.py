"""TR2M for OpenMMLab: relative depth to metric depth with language, and scale-oriented contrast for any depth model.

Importing the package makes its registries known to MMEngine and imports nothing heavy.
"""

import sys
from importlib import import_module
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from tr2m_plugin.version import __version__ as __version__

if PurePath(next(iter(sys.argv), "")).name != "tr2m":  # the command does so when it runs, not to print its help
    from tr2m_plugin import registry as registry

if TYPE_CHECKING:
    from tr2m_plugin.hooks.soc_hook import SOCHook as SOCHook
    from tr2m_plugin.inference.inferencer import TR2MInferencer as TR2MInferencer

__all__ = ["SOCHook", "TR2MInferencer", "__version__"]

_LAZY = {"SOCHook": "tr2m_plugin.hooks.soc_hook", "TR2MInferencer": "tr2m_plugin.inference.inferencer"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
