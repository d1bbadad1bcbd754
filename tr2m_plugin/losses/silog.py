"""Scale-invariant logarithmic loss (Eigen et al., 2014; paper, eq. 4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tr2m_plugin.registry import MODELS
from tr2m_plugin.tensors import at_least_float32, image_mean, valid_depth


def scale_invariant_log(
    pred: Tensor,
    target: Tensor,
    valid: Tensor | None = None,
    lam: float = 0.15,
    sqrt: bool = False,
    scale: float = 1.0,
    eps: float = 1e-6,
    per_image: bool = True,
) -> Tensor:
    """mean(ε²) − λ · mean(ε)² with ε = log pred − log target, per image, then mean over the batch (paper, eq. 4).

    Args:
        pred: predicted depth, (B, 1, H, W), positive.
        target: true depth in the same unit, (B, 1, H, W); zero, negative or not finite means no measurement.
        valid: further restricts the pixels, (B, 1, H, W) bool. Default: all.
        lam: λ, between 0 (plain log RMSE) and 1 (scale invariant). Default: 0.15.
        sqrt: takes the square root, as NeWCRFs does. Default: False.
        scale: factor on the result; NeWCRFs uses 10. Default: 1.
        eps: smallest prediction, and smallest variance under the root. Default: 1e-6.
        per_image: whether each image has its own means; otherwise the means are over all valid pixels of the batch, as
            in NeWCRFs. Default: True.

    Returns:
        A scalar, in float32 at least; an image without a valid pixel contributes zero.
    """
    mask = valid_depth(target, valid)
    pred, target = at_least_float32(pred), at_least_float32(target)
    # Masked pixels are replaced before the logarithm: a NaN there would survive multiplication by zero.
    error = torch.log(torch.where(mask, pred, 1).clamp(min=eps)) - torch.log(torch.where(mask, target, 1))
    if not per_image:
        error, mask = error.flatten()[None], mask.flatten()[None]
    loss = image_mean(error.square(), mask) - lam * image_mean(error, mask).square()
    if sqrt:
        loss = torch.where(loss > eps, loss, eps).sqrt() * mask.flatten(1).any(1)
    return scale * loss.mean()


@MODELS.register_module()
class SILogLoss(nn.Module):
    """`scale_invariant_log` as a module.

    Args:
        lam: λ of eq. 4. Default: 0.15.
        sqrt: whether the square root is taken. Default: False.
        scale: factor before the weight. Default: 1.
        loss_weight: weight in the total loss. Default: 1.
        per_image: whether each image has its own means, or the batch has common ones. Default: True.
        min_depth: true depths that are not above it are left out, in the depth's unit. Default: 0.
    """

    def __init__(
        self,
        lam: float = 0.15,
        sqrt: bool = False,
        scale: float = 1.0,
        loss_weight: float = 1.0,
        per_image: bool = True,
        min_depth: float = 0.0,
    ) -> None:
        super().__init__()
        self.lam, self.sqrt, self.scale, self.loss_weight = lam, sqrt, scale, loss_weight
        self.per_image, self.min_depth = per_image, min_depth

    def forward(self, pred: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
        """`scale_invariant_log` of maps (B, 1, H, W), times the weight."""
        if self.min_depth > 0:
            near = target > self.min_depth
            valid = near if valid is None else near & valid
        loss = scale_invariant_log(pred, target, valid, self.lam, self.sqrt, self.scale, per_image=self.per_image)
        return self.loss_weight * loss
