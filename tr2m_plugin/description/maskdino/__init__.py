"""MaskDINO: panoptic and instance segmentation, for object lists."""

from tr2m_plugin.description.maskdino.categories import COCO_PANOPTIC, THINGS
from tr2m_plugin.description.maskdino.network import MaskDino
from tr2m_plugin.description.maskdino.panoptic import Segment, panoptic_segments

__all__ = ["COCO_PANOPTIC", "THINGS", "MaskDino", "Segment", "panoptic_segments"]
