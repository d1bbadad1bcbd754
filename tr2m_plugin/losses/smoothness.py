"""Edge-aware first-order smoothness (Godard et al., 2017; paper, section 3.4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tr2m_plugin.registry import MODELS
from tr2m_plugin.tensors import at_least_float32


def edge_aware_smoothness(map: Tensor, image: Tensor, eps: float = 1e-7) -> Tensor:
    """mean(|∂x m| · exp(−|∂x I|)) + mean(|∂y m| · exp(−|∂y I|)) with m the map divided by its mean per image.

    Args:
        map: positive map, (B, 1, H, W).
        image: RGB in 0..1, (B, 3, H', W'); resized to the map's size.
        eps: added to the mean. Default: 1e-7.

    Returns:
        A scalar.
    """
    map = at_least_float32(map)
    image = F.interpolate(image.to(map.dtype), map.shape[-2:], mode="bilinear", align_corners=True)
    map = map / (map.mean((1, 2, 3), keepdim=True) + eps)
    total = map.new_zeros(())
    for axis in (-1, -2):
        edges = image.diff(dim=axis).abs().mean(1, keepdim=True)
        total = total + (map.diff(dim=axis).abs() * torch.exp(-edges)).mean()
    return total


@MODELS.register_module()
class SmoothnessLoss(nn.Module):
    """L_es: `edge_aware_smoothness` of several maps, summed.

    Args:
        loss_weight: weight in the total loss. Default: 0.01.
    """

    def __init__(self, loss_weight: float = 0.01) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, maps: list[Tensor], image: Tensor) -> Tensor:
        total = sum((edge_aware_smoothness(m, image) for m in maps), image.new_zeros(()))
        return self.loss_weight * total
