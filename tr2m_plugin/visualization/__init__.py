"""Pictures of depth: colours, bars, error maps."""

from tr2m_plugin.visualization.depth import (
    DEPTH_COLORS,
    colorize,
    colorize_depth,
    depth_with_bar,
    error_map,
    inverse_limits,
)

__all__ = ["DEPTH_COLORS", "colorize", "colorize_depth", "depth_with_bar", "error_map", "inverse_limits"]
