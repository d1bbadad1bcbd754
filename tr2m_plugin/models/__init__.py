"""Models: TR2M, its rescaling network, and the frozen networks it stands on."""

from tr2m_plugin.models.frozen.encoders import CLIPTextEncoder, DINOv2Encoder, Frozen
from tr2m_plugin.models.frozen.relative_depth import RelativeDepth
from tr2m_plugin.models.projector import SOCProjector
from tr2m_plugin.models.supervised.base import SupervisedDepthModel
from tr2m_plugin.models.supervised.hf_depth import HFDepthModel
from tr2m_plugin.models.supervised.newcrfs import NeWCRFs, load_newcrfs_weights
from tr2m_plugin.models.tr2m.released_weights import load_release_weights
from tr2m_plugin.models.tr2m.rescale_factors import RescaleFactors
from tr2m_plugin.models.tr2m.rescale_net import RescaleMaps, RescaleNet
from tr2m_plugin.models.tr2m.tr2m import TR2M, TR2MOutput, rescale

__all__ = [
    "TR2M",
    "CLIPTextEncoder",
    "DINOv2Encoder",
    "Frozen",
    "HFDepthModel",
    "NeWCRFs",
    "RelativeDepth",
    "RescaleFactors",
    "RescaleMaps",
    "RescaleNet",
    "SOCProjector",
    "SupervisedDepthModel",
    "TR2MOutput",
    "load_newcrfs_weights",
    "load_release_weights",
    "rescale",
]
