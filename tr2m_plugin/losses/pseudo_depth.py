"""Confident pseudo metric depth: relative depth aligned to the truth where that fits well (eq. 5-6 and 10-12)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from tr2m_plugin.errors import InputError
from tr2m_plugin.losses.silog import scale_invariant_log
from tr2m_plugin.registry import MODELS
from tr2m_plugin.structures import Space
from tr2m_plugin.tensors import at_least_float32, image_mean, valid_depth

Bound = Literal["measured", "range"]


class PseudoDepth(NamedTuple):
    """What `confident_pseudo_depth` returns.

    Attributes:
        depth: pseudo depth, (B, 1, H, W), zero where there is none.
        delta1: share of measured pixels within a factor of 1.25 of the truth, (B,).
        confident: images whose delta1 exceeds the threshold, (B,) bool.
    """

    depth: Tensor
    delta1: Tensor
    confident: Tensor


def fit_scale_shift(
    relative: Tensor, target: Tensor, valid: Tensor | None = None, space: Space = "disparity"
) -> tuple[Tensor, Tensor]:
    """Least-squares scale α and shift β per image, in closed form (paper, eq. 12).

    Args:
        relative: relative depth, (B, 1, H, W), disparity-like.
        target: true depth, (B, 1, H, W); zero, negative or not finite means no measurement.
        valid: further restricts the pixels, (B, 1, H, W) bool. Default: all.
        space: `disparity` fits α·relative + β to 1 / target, as eq. 3 uses relative depth; `depth` fits it to
            the target, as eq. 5 is written. Default: disparity.

    Returns:
        α and β, (B,) each. Where relative depth does not vary, α is zero and β the mean; both are zero for an image
        without a valid pixel.
    """
    if space not in ("disparity", "depth"):
        raise InputError(f"space must be 'disparity' or 'depth', not {space!r}")
    mask = valid_depth(target, valid) & torch.isfinite(relative)
    relative, target = at_least_float32(relative), at_least_float32(target)
    x = torch.where(mask, relative, 0)
    y = torch.where(mask, target, 1)
    y = 1 / y if space == "disparity" else y
    mean_x, mean_y = image_mean(x, mask), image_mean(y, mask)
    # Centred, which is eq. 12 without its cancellation in float32.
    dx, dy = x - mean_x[:, None, None, None], y - mean_y[:, None, None, None]
    variance, covariance = image_mean(dx * dx, mask), image_mean(dx * dy, mask)
    varies = variance > torch.finfo(variance.dtype).eps * mean_x.square()
    alpha = torch.where(varies, covariance / torch.where(varies, variance, 1), 0)
    return alpha, mean_y - alpha * mean_x


def confident_pseudo_depth(
    relative: Tensor,
    target: Tensor,
    valid: Tensor | None = None,
    threshold: float = 0.8,
    space: Space = "disparity",
    farthest: Tensor | None = None,
) -> PseudoDepth:
    """Relative depth brought to the true scale, and whether it deserves to be learned from (paper, eq. 5-6).

    Pixels beyond the farthest depth get no pseudo depth: in disparity space the sky would otherwise land at any
    distance.

    Args:
        relative: relative depth, (B, 1, H, W).
        target: true depth, (B, 1, H, W); zero, negative or not finite means no measurement.
        valid: further restricts the measured pixels, (B, 1, H, W) bool. Default: all.
        threshold: ρ, which the paper does not state. Default: 0.8.
        space: space of the fit, see `fit_scale_shift`. Default: disparity.
        farthest: farthest depth of each image, (B,). Default: that of its farthest measurement.
    """
    mask = valid_depth(target, valid)
    alpha, beta = fit_scale_shift(relative, target, valid, space)
    line = alpha[:, None, None, None] * at_least_float32(relative) + beta[:, None, None, None]
    usable = torch.isfinite(line) & (line > torch.finfo(line.dtype).tiny)
    depth = torch.where(usable, line, 1)
    depth = 1 / depth if space == "disparity" else depth
    ratio = torch.where(mask, target.to(depth.dtype), 1) / depth
    good = usable & (torch.maximum(ratio, 1 / ratio) < 1.25)
    delta1 = image_mean(good.to(depth.dtype), mask)
    measured = torch.where(mask, target.to(depth.dtype), 0).amax((1, 2, 3))
    limit = measured if farthest is None else farthest.to(depth)
    usable = usable & (depth <= limit[:, None, None, None])
    return PseudoDepth(torch.where(usable, depth, 0), delta1, delta1 > threshold)


@MODELS.register_module()
class PseudoDepthLoss(nn.Module):
    """L_tp-si: the scale-invariant log loss against confident pseudo depth (paper, eq. 6).

    Args:
        threshold: ρ. Default: 0.8.
        space: space of the fit. Default: disparity.
        lam: λ of eq. 4. Default: 0.15.
        loss_weight: weight in the total loss. Default: 0.5.
        bound: up to where there is pseudo depth: `measured`, the farthest measurement of the image; or `range`, the
            farthest depth of its dataset, since what lies beyond a sensor's reach is what the paper wants pseudo depth
            for (A.3.4). Default: measured.

    Raises:
        InputError: the bound is neither.
    """

    def __init__(
        self,
        threshold: float = 0.8,
        space: Space = "disparity",
        lam: float = 0.15,
        loss_weight: float = 0.5,
        bound: Bound = "measured",
    ) -> None:
        super().__init__()
        if bound not in ("measured", "range"):
            raise InputError(f"bound must be 'measured' or 'range', not {bound!r}")
        self.threshold, self.space, self.lam, self.loss_weight = threshold, space, lam, loss_weight
        self.bound = bound

    def forward(
        self,
        pred: Tensor,
        relative: Tensor,
        target: Tensor,
        valid: Tensor | None = None,
        farthest: Tensor | None = None,
    ) -> Tensor:
        """The loss of predicted depth; see `confident_pseudo_depth`.

        Args:
            pred: predicted depth, (B, 1, H, W).
            relative: relative depth.
            target: true depth.
            valid: further restricts the measured pixels. Default: all.
            farthest: farthest depth of each image's dataset, (B,), for the bound `range`. Default: unknown, which is
                the bound `measured`.
        """
        farthest = farthest if self.bound == "range" else None
        with torch.no_grad():
            pseudo = confident_pseudo_depth(relative, target, valid, self.threshold, self.space, farthest)
        confident = pseudo.confident[:, None, None, None].expand_as(pseudo.depth)
        return self.loss_weight * scale_invariant_log(pred, pseudo.depth, confident, self.lam)
