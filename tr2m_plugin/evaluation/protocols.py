"""How a prediction meets the truth: size, range and clamp. Nothing else in the package knows these."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from tr2m_plugin.errors import InputError


def resize_prediction(pred: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A depth map (h, w) at another size, bilinear with aligned corners as the field does."""
    if pred.shape == size:
        return pred
    batch = torch.from_numpy(np.ascontiguousarray(pred, np.float32))[None, None]
    return F.interpolate(batch, size, mode="bilinear", align_corners=True)[0, 0].numpy()


@dataclass(frozen=True)
class Protocol:
    """The range that is evaluated.

    Args:
        depth_range: nearest and farthest depth, in the dataset's unit; truth strictly between them counts, predictions
            are clamped to them.
    """

    depth_range: tuple[float, float]

    def __post_init__(self) -> None:
        low, high = self.depth_range
        if not (low is not None and high is not None and 0 < low < high):
            raise InputError(f"depth_range must be two increasing positive depths, not {self.depth_range}")

    def valid(self, truth: np.ndarray) -> np.ndarray:
        """Where the truth counts, (H, W) bool."""
        return np.isfinite(truth) & (truth > self.depth_range[0]) & (truth < self.depth_range[1])

    def compare(self, pred: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The pixels that count.

        Args:
            pred: predicted depth, (h, w); resized to the truth's size. NaN becomes the nearest depth, infinity the
                farthest.
            truth: true depth, (H, W), 0 = no measurement.

        Returns:
            Clamped prediction and truth of the valid pixels, (N,) each.
        """
        low, high = self.depth_range
        mask = self.valid(truth)
        resized = resize_prediction(np.nan_to_num(pred, nan=low, posinf=high, neginf=low), truth.shape)
        return np.clip(resized, low, high)[mask], truth[mask]
