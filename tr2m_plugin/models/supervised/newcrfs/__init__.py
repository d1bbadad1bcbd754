"""NeWCRFs, for comparison and as a model that scale-oriented contrast is added to."""

from tr2m_plugin.models.supervised.newcrfs.network import NeWCRFs
from tr2m_plugin.models.supervised.newcrfs.weights import load_newcrfs_weights

__all__ = ["NeWCRFs", "load_newcrfs_weights"]
