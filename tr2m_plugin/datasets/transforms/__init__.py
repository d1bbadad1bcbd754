"""Transforms: from a row of the dataset to tensors."""

from tr2m_plugin.datasets.transforms.augmentation import (
    MaskDepthBorder,
    RandomColor,
    RandomColorJitter,
    RandomCropDepth,
    RandomFlipDepth,
    RandomRotateDepth,
)
from tr2m_plugin.datasets.transforms.formatting import PackDepthInputs
from tr2m_plugin.datasets.transforms.geometry import ResizeDepthInputs
from tr2m_plugin.datasets.transforms.loading import LoadDepthInputs

__all__ = [
    "LoadDepthInputs",
    "MaskDepthBorder",
    "PackDepthInputs",
    "RandomColor",
    "RandomColorJitter",
    "RandomCropDepth",
    "RandomFlipDepth",
    "RandomRotateDepth",
    "ResizeDepthInputs",
]
