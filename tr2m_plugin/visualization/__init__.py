"""Pictures of depth: colours, bars, error maps."""

from tr2m_plugin.visualization.depth import colorize, colorize_depth, depth_with_bar, error_map, inverse_limits

__all__ = ["colorize", "colorize_depth", "depth_with_bar", "error_map", "inverse_limits"]
