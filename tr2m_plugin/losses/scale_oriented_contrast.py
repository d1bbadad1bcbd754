"""Scale-oriented contrast: features of pixels at similar depth attract, others repel (paper, eq. 7-8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tr2m_plugin.errors import InputError
from tr2m_plugin.losses.cells import CellClass, Size, reduce_classes
from tr2m_plugin.registry import MODELS
from tr2m_plugin.tensors import at_least_float32, valid_depth

Reduction = Literal["sum", "mean"]


def depth_classes(depth: Tensor, num_classes: int = 20, depth_range: tuple[float, float] | None = None) -> Tensor:
    """Classes of depth, evenly spaced between the nearest and the farthest pixel (paper, eq. 7).

    Y = round((d_max − D) / (d_max − d_min) · |C|), which gives |C| + 1 classes, the nearest pixel in class |C|.

    Args:
        depth: (B, ...); zero, negative or not finite means no measurement.
        num_classes: |C|. Default: 20.
        depth_range: (d_min, d_max) for all images; depths outside it fall into the end classes. Default: each image's
            own.

    Returns:
        int64, the shape of `depth`, in 0..num_classes; −1 where there is no measurement, and throughout an image
        whose depths are all equal.
    """
    mask = valid_depth(depth)
    depth = at_least_float32(depth)
    shape = (-1, *[1] * (depth.ndim - 1))
    if depth_range is None:
        low = torch.where(mask, depth, torch.inf).flatten(1).amin(1).view(shape)
        high = torch.where(mask, depth, -torch.inf).flatten(1).amax(1).view(shape)
    else:
        low, high = (depth.new_full((1,), limit).view(shape) for limit in depth_range)
    mask = mask & (high > low)
    share = (high - torch.where(mask, depth, high)) / torch.where(high > low, high - low, 1)
    classes = torch.round(share * num_classes).clamp(0, num_classes)
    return torch.where(mask, torch.nan_to_num(classes), -1).long()


def scale_oriented_contrast(
    query: Tensor,
    keys: Sequence[Tensor],
    query_classes: Tensor,
    key_classes: Sequence[Tensor],
    num_classes: int = 20,
    negative_reduction: Reduction = "sum",
) -> Tensor:
    """−log( exp(S_p) / (exp(S_p) + exp(S_n)) ), mean over query pixels and images (paper, eq. 8).

    S_p is a query's mean cosine similarity to the key pixels of its own class, pooled over the key maps; S_n sums, over
    the key maps, its mean similarity to the pixels of other classes. Both means are linear in the keys, so class
    sums replace the matrix of all pairs: exact, and linear in the number of pixels.

    Args:
        query: features, (B, N, D).
        keys: key maps of features, (B, M, D) each, one at least; gradients do not flow into them.
        query_classes: `depth_classes` of the query pixels, (B, N); −1 is left out.
        key_classes: those of each key map, (B, M).
        num_classes: |C|; classes run from 0 to |C|. Default: 20.
        negative_reduction: `sum` or `mean` of the negative similarities over the key maps. Default: sum.

    Returns:
        A scalar. A query pixel counts when the keys hold its class and another one; an image without such a pixel
        contributes zero.
    """
    if negative_reduction not in ("sum", "mean"):
        raise InputError(f"negative_reduction must be 'sum' or 'mean', not {negative_reduction!r}")
    with torch.autocast(query.device.type, enabled=False):
        query = at_least_float32(query)
        per_map = [
            _class_sums(key.detach().to(query.dtype), classes, num_classes + 1)
            for key, classes in zip(keys, key_classes, strict=True)
        ]
        sums, counts = (torch.stack(values) for values in zip(*per_map, strict=True))
        others = counts.sum(2, keepdim=True) - counts
        # Mean of the keys outside each class, per map: the total minus the class, over what is left.
        outside = ((sums.sum(2, keepdim=True) - sums) / others.clamp(min=1)[..., None]).sum(0)
        maps_with_others = (others > 0).sum(0)
        if negative_reduction == "mean":
            outside = outside / maps_with_others.clamp(min=1)[..., None]
        inside, inside_count = sums.sum(0), counts.sum(0)
        # S_n − S_p is linear in the query too, so one vector per class holds all it is compared with.
        apart = outside - inside / inside_count.clamp(min=1)[..., None]
        own = query_classes.clamp(min=0)
        margin = (query @ apart.transpose(1, 2)).gather(2, own[..., None])[..., 0] / _norm(query)
        counted = (query_classes >= 0) & ((inside_count > 0) & (maps_with_others > 0)).gather(1, own)
        loss = torch.where(counted, F.softplus(margin), 0)
        return (loss.sum(1) / counted.sum(1).clamp(min=1)).mean()


def _norm(x: Tensor) -> Tensor:
    """Lengths of vectors (..., D), kept away from zero."""
    return torch.linalg.vector_norm(x, dim=-1).clamp(min=1e-12)


def _class_sums(key: Tensor, classes: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Sums of the unit keys (B, M, D) of each of `count` classes, (B, count, D), and their numbers, (B, count)."""
    member = (classes[:, None] == torch.arange(count, device=classes.device)[:, None]).to(key.dtype)
    return (member / _norm(key)[:, None]) @ key, member.sum(2)


@MODELS.register_module()
class ScaleOrientedContrastLoss(nn.Module):
    """`scale_oriented_contrast` between feature maps, with classes made from depth maps.

    Args:
        num_classes: |C| of eq. 7. Default: 20.
        negative_reduction: `sum` or `mean` over the key maps. Default: sum.
        depth_range: (d_min, d_max) of eq. 7 for all images. Default: each image's own.
        loss_weight: weight in the total loss. Default: 0.1.
        cell: class of a feature's cell: the median of its pixels' classes, or the nearest. Default: median.
    """

    def __init__(
        self,
        num_classes: int = 20,
        negative_reduction: Reduction = "sum",
        depth_range: tuple[float, float] | None = None,
        loss_weight: float = 0.1,
        cell: CellClass = "median",
    ) -> None:
        super().__init__()
        self.num_classes, self.negative_reduction = num_classes, negative_reduction
        self.depth_range, self.loss_weight, self.cell = depth_range, loss_weight, cell

    def classes(self, depth: Tensor, size: Size, grids: Sequence[Size] = ()) -> Tensor:
        """Classes (B, h, w) of a feature map's cells, of depth (B, 1, H, W); see `reduce_classes`."""
        classes = depth_classes(depth[:, 0], self.num_classes, self.depth_range)
        return reduce_classes(classes, size, grids, self.cell, self.num_classes)

    def forward(
        self,
        query: Tensor,
        keys: Sequence[Tensor],
        depth: Tensor,
        key_depths: Sequence[Tensor],
        grids: Sequence[Size] = (),
    ) -> Tensor:
        """Contrast of a query map (B, D, h, w) with key maps of its shape; depths are (B, 1, H, W).

        Args:
            query: features.
            keys: features that they are contrasted with.
            depth: true depth of the query.
            key_depths: true depth of each key map.
            grids: sizes of what lies between depth and features: the picture, its patches. Default: none.
        """
        size = (query.shape[-2], query.shape[-1])
        loss = scale_oriented_contrast(
            query.flatten(2).transpose(1, 2),
            [key.flatten(2).transpose(1, 2) for key in keys],
            self.classes(depth, size, grids).flatten(1),
            [self.classes(d, size, grids).flatten(1) for d in key_depths],
            self.num_classes,
            self.negative_reduction,
        )
        return self.loss_weight * loss
