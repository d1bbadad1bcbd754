"""TR2M for OpenMMLab: relative depth to metric depth with language, and scale-oriented contrast for any depth model.

Importing the package makes its registries known to MMEngine and imports nothing heavy.
"""

from typing import TYPE_CHECKING, Any

from tr2m_plugin import registry as registry
from tr2m_plugin.config_lookup import register_configs

if TYPE_CHECKING:
    from tr2m_plugin.inference.inferencer import TR2MInferencer as TR2MInferencer

register_configs()
__version__ = "0.1.0"
__all__ = ["TR2MInferencer", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "TR2MInferencer":
        from tr2m_plugin.inference.inferencer import TR2MInferencer

        return TR2MInferencer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
