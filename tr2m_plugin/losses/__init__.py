"""Loss functions: plain functions of tensors, each with a registered module."""

from tr2m_plugin.losses.cells import line_cells, reduce_classes
from tr2m_plugin.losses.pseudo_depth import PseudoDepth, PseudoDepthLoss, confident_pseudo_depth, fit_scale_shift
from tr2m_plugin.losses.scale_oriented_contrast import (
    ScaleOrientedContrastLoss,
    depth_classes,
    scale_oriented_contrast,
)
from tr2m_plugin.losses.silog import SILogLoss, scale_invariant_log
from tr2m_plugin.losses.smoothness import SmoothnessLoss, edge_aware_smoothness
from tr2m_plugin.tensors import valid_depth

__all__ = [
    "PseudoDepth",
    "PseudoDepthLoss",
    "SILogLoss",
    "ScaleOrientedContrastLoss",
    "SmoothnessLoss",
    "confident_pseudo_depth",
    "depth_classes",
    "edge_aware_smoothness",
    "fit_scale_shift",
    "line_cells",
    "reduce_classes",
    "scale_invariant_log",
    "scale_oriented_contrast",
    "valid_depth",
]
