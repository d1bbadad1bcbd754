"""MaskDINO: panoptic and instance segmentation, for object lists."""

from tr2m_plugin.description.maskdino.categories import COCO_PANOPTIC, THINGS
from tr2m_plugin.description.maskdino.network import MaskDino
from tr2m_plugin.description.maskdino.panoptic import Segment, panoptic_segments
from tr2m_plugin.description.maskdino.weights import load_maskdino

__all__ = ["COCO_PANOPTIC", "THINGS", "MaskDino", "Segment", "load_maskdino", "panoptic_segments"]
