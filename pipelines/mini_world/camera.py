"""A pinhole camera whose rays measure planar depth directly."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

HEIGHT, WIDTH = 112, 140


@dataclass(frozen=True)
class Camera:
    """A pinhole camera in a world with x to the right, y up and z forward.

    Args:
        position: optical centre in the world, in world units.
        pitch: rotation upwards in radians (negative looks down).
        yaw: rotation to the right in radians.
        focal: focal length in pixels.
        height: picture height in pixels. Default: 112.
        width: picture width in pixels. Default: 140.
    """

    position: tuple[float, float, float] = (0.0, 0.0, 0.0)
    pitch: float = 0.0
    yaw: float = 0.0
    focal: float = 126.0
    height: int = HEIGHT
    width: int = WIDTH

    @cached_property
    def origin(self) -> np.ndarray:
        """The optical centre, (3,) float32."""
        return np.array(self.position, np.float32)

    @cached_property
    def axes(self) -> np.ndarray:
        """Rows are the camera's right, up and forward directions in the world, (3, 3) float32."""
        cos_p, sin_p = np.cos(self.pitch), np.sin(self.pitch)
        cos_y, sin_y = np.cos(self.yaw), np.sin(self.yaw)
        forward = np.array([sin_y * cos_p, sin_p, cos_y * cos_p])
        right = np.array([cos_y, 0.0, -sin_y])
        return np.stack([right, np.cross(forward, right), forward]).astype(np.float32)

    @cached_property
    def rays(self) -> np.ndarray:
        """World direction of every pixel's ray, (3, height, width) float32.

        The forward component of each ray is one, so `origin + t * ray` lies at planar depth `t`.
        """
        x = (np.arange(self.width, dtype=np.float32) - (self.width - 1) / 2) / self.focal
        y = ((self.height - 1) / 2 - np.arange(self.height, dtype=np.float32)) / self.focal
        right, up, forward = self.axes[..., None, None]
        return right * x + up * y[:, None] + forward

    def window(self, low: np.ndarray, high: np.ndarray) -> tuple[slice, slice] | None:
        """Rows and columns that an axis-aligned box can cover, or None when it is out of sight.

        Args:
            low: smallest corner of the box in the world, (3,).
            high: largest corner of the box in the world, (3,).
        """
        corners = np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
        right, up, forward = self.axes @ (corners - self.origin).T
        near = 1e-6
        if (forward <= near).all():
            return None
        if (forward <= near).any():
            return slice(0, self.height), slice(0, self.width)
        columns = right / forward * self.focal + (self.width - 1) / 2
        rows = (self.height - 1) / 2 - up / forward * self.focal
        top, bottom = max(int(np.floor(rows.min())), 0), min(int(np.ceil(rows.max())) + 1, self.height)
        left, right_end = max(int(np.floor(columns.min())), 0), min(int(np.ceil(columns.max())) + 1, self.width)
        return (slice(top, bottom), slice(left, right_end)) if top < bottom and left < right_end else None
