"""What is about tensors and arrays alone, and belongs to no loss, protocol or file format."""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def valid_depth(target: Tensor, valid: Tensor | None = None) -> Tensor:
    """Where a depth map holds a measurement: finite, above zero and, where given, inside `valid`."""
    measured = torch.isfinite(target) & (target > 0)
    return measured if valid is None else measured & valid


def at_least_float32(x: Tensor) -> Tensor:
    """Half precision becomes float32, float64 stays."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def image_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the masked pixels of each image, zero where there are none, (B,)."""
    values = torch.where(mask, values, 0).flatten(1)
    return values.sum(1) / mask.flatten(1).sum(1).clamp(min=1)


def resize_prediction(pred: np.ndarray, size: tuple[int, int], aligned: bool = True) -> np.ndarray:
    """A depth map (h, w) at another size, bilinear.

    Args:
        pred: depth map.
        size: height and width.
        aligned: whether the corners' centres stay in place (`align_corners`), as the field does. Default: True.
    """
    if pred.shape == size:
        return pred
    batch = torch.from_numpy(np.ascontiguousarray(pred, np.float32))[None, None]
    return F.interpolate(batch, size, mode="bilinear", align_corners=aligned)[0, 0].numpy()


def stretch_image(image: np.ndarray, size: tuple[int, int], aligned: bool = False) -> np.ndarray:
    """A picture at the size of a network's input.

    Args:
        image: (H, W, 3) uint8 RGB.
        size: height and width.
        aligned: bilinear with aligned corners, as the authors' release does, (h, w, 3) float32 with nothing rounded.
            Default: averaged in the direction in which it shrinks, bilinear where it grows, uint8.
    """
    if image.shape[:2] == size:
        return image
    if aligned:
        batch = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), np.float32))[None]
        return F.interpolate(batch, size, mode="bilinear", align_corners=True)[0].numpy().transpose(1, 2, 0)
    shrunk = (min(size[1], image.shape[1]), min(size[0], image.shape[0]))
    image = cv2.resize(image, shrunk, interpolation=cv2.INTER_AREA)
    return cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
