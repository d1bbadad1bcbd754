"""Models: TR2M, its rescaling network, and the frozen networks it stands on."""

from tr2m_plugin.models.depth_estimator import DepthEstimator
from tr2m_plugin.models.encoders import CLIPTextEncoder, DINOv2Encoder, Frozen
from tr2m_plugin.models.hf_depth import HFDepthModel
from tr2m_plugin.models.newcrfs import NeWCRFs, load_newcrfs_weights
from tr2m_plugin.models.projector import SOCProjector
from tr2m_plugin.models.relative_depth import RelativeDepth
from tr2m_plugin.models.release import load_release_weights
from tr2m_plugin.models.rescale_factors import RescaleFactors
from tr2m_plugin.models.rescale_net import RescaleMaps, RescaleNet
from tr2m_plugin.models.tr2m import TR2M, TR2MOutput, rescale

__all__ = [
    "TR2M",
    "CLIPTextEncoder",
    "DINOv2Encoder",
    "DepthEstimator",
    "Frozen",
    "HFDepthModel",
    "NeWCRFs",
    "RelativeDepth",
    "RescaleFactors",
    "RescaleMaps",
    "RescaleNet",
    "SOCProjector",
    "TR2MOutput",
    "load_newcrfs_weights",
    "load_release_weights",
    "rescale",
]
