"""How far features are ordered by depth: what scale-oriented contrast is for (paper, section 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor

from tr2m_plugin.losses import ScaleOrientedContrastLoss


def class_separation(
    features: Tensor, depth: Tensor, num_classes: int = 20, depth_range: tuple[float, float] | None = None
) -> Tensor:
    """Mean cosine similarity of cells of one depth class, minus that of cells of different classes, per image.

    Between −2 and 2; 0 when features say nothing of depth. Pairs of a cell with itself are left out. The sums are
    linear in the number of cells, as in the contrast.

    Args:
        features: (B, C, h, w).
        depth: true depth, (B, 1, H, W); 0 means no measurement.
        num_classes: |C| of eq. 7. Default: 20.
        depth_range: (d_min, d_max) of eq. 7. Default: each image's own.

    Returns:
        (B,) float64; NaN for an image without a pair of either kind.
    """
    size = (features.shape[-2], features.shape[-1])
    loss = ScaleOrientedContrastLoss(num_classes, depth_range=depth_range)
    classes = loss.classes(depth, size).flatten(1)
    cells = features.double().flatten(2).transpose(1, 2)
    unit = cells / torch.linalg.vector_norm(cells, dim=2, keepdim=True).clamp(min=1e-12)
    member = (classes[:, None] == torch.arange(num_classes + 1, device=classes.device)[:, None]).double()
    sums, counts = member @ unit, member.sum(2)
    same = sums.square().sum(2).sum(1) - counts.sum(1)
    everything = sums.sum(1).square().sum(1) - counts.sum(1)
    same_pairs = (counts * (counts - 1)).sum(1)
    other_pairs = counts.sum(1) * (counts.sum(1) - 1) - same_pairs
    return same / same_pairs - (everything - same) / other_pairs
