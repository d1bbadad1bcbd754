"""Metrics, alignment to the truth, and the protocols by which predictions are compared."""

from tr2m_plugin.evaluation.alignment import Alignment, ScaleShiftFit, apply_scale_shift, linear_fit, median_scale
from tr2m_plugin.evaluation.measuring import measure
from tr2m_plugin.evaluation.metrics import HIGHER_IS_BETTER, METRICS, depth_metrics
from tr2m_plugin.evaluation.protocols import Protocol, load_protocol, protocol_of
from tr2m_plugin.tensors import resize_prediction

__all__ = [
    "HIGHER_IS_BETTER",
    "METRICS",
    "Alignment",
    "Protocol",
    "ScaleShiftFit",
    "apply_scale_shift",
    "depth_metrics",
    "linear_fit",
    "load_protocol",
    "measure",
    "median_scale",
    "protocol_of",
    "resize_prediction",
]
