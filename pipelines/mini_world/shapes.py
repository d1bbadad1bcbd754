"""The solids of the miniature world, each intersected with rays in closed form (the tube by marching).

Every shape has `bounds()`, the axis-aligned box around it or None when it has no end, and
`intersect(origin, rays)`, which returns the depth of the first hit, (H, W) float32 with infinity
where the ray misses, and the outward normal there, (3, H, W) float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

Bounds = tuple[np.ndarray, np.ndarray]
Hit = tuple[np.ndarray, np.ndarray]

_TINY = np.float32(1e-9)


class Shape(Protocol):
    """What the scene asks of a shape."""

    def bounds(self) -> Bounds | None: ...

    def intersect(self, origin: np.ndarray, rays: np.ndarray) -> Hit: ...


def _away_from_zero(values: np.ndarray) -> np.ndarray:
    return np.where(np.abs(values) < _TINY, _TINY, values)


def _first_positive(depth: np.ndarray, hit: np.ndarray) -> np.ndarray:
    return np.where(hit & (depth > 0), depth, np.float32(np.inf))


@dataclass(frozen=True)
class Plane:
    """An endless plane across one axis, seen from one side only.

    Args:
        axis: 0, 1 or 2 for a plane of constant x, y or z.
        offset: the coordinate on that axis.
        facing: +1 when the visible side looks along the axis, -1 against it.
    """

    axis: int
    offset: float
    facing: int = 1

    def bounds(self) -> Bounds | None:
        return None

    def intersect(self, origin: np.ndarray, rays: np.ndarray) -> Hit:
        along = rays[self.axis]
        depth = (np.float32(self.offset) - origin[self.axis]) / _away_from_zero(along)
        normal = np.zeros_like(rays)
        normal[self.axis] = self.facing
        return _first_positive(depth, along * self.facing < 0), normal


@dataclass(frozen=True)
class Box:
    """A box turned about the vertical.

    Args:
        center: centre of the box.
        half: half its extent along its own x, y and z.
        yaw: its turn about the vertical in radians.
    """

    center: tuple[float, float, float]
    half: tuple[float, float, float]
    yaw: float = 0.0

    def bounds(self) -> Bounds:
        cos, sin = abs(np.cos(self.yaw)), abs(np.sin(self.yaw))
        x, y, z = self.half
        reach = np.array([x * cos + z * sin, y, x * sin + z * cos])
        return np.array(self.center) - reach, np.array(self.center) + reach

    def intersect(self, origin: np.ndarray, rays: np.ndarray) -> Hit:
        cos, sin = np.float32(np.cos(self.yaw)), np.float32(np.sin(self.yaw))
        x, y, z = origin - np.array(self.center, np.float32)
        start = (cos * x - sin * z, y, sin * x + cos * z)
        direction = (cos * rays[0] - sin * rays[2], rays[1], sin * rays[0] + cos * rays[2])
        enter = np.full(rays.shape[1:], -np.inf, np.float32)
        leave = np.full(rays.shape[1:], np.inf, np.float32)
        side = np.zeros(rays.shape[1:], np.int8)
        for k in range(3):
            inverse = 1 / _away_from_zero(direction[k])
            a, b = (-self.half[k] - start[k]) * inverse, (self.half[k] - start[k]) * inverse
            near = np.minimum(a, b)
            side[near > enter] = k
            np.maximum(enter, near, out=enter)
            np.minimum(leave, np.maximum(a, b), out=leave)
        own = [-np.sign(direction[k]) * (side == k) for k in range(3)]
        normal = np.stack([cos * own[0] + sin * own[2], own[1], -sin * own[0] + cos * own[2]])
        return _first_positive(enter, enter < leave), normal


@dataclass(frozen=True)
class Ellipsoid:
    """An axis-aligned ellipsoid; three equal radii make a sphere.

    Args:
        center: its centre.
        radii: its half axes along x, y and z.
    """

    center: tuple[float, float, float]
    radii: tuple[float, float, float]

    def bounds(self) -> Bounds:
        center, radii = np.array(self.center), np.array(self.radii)
        return center - radii, center + radii

    def intersect(self, origin: np.ndarray, rays: np.ndarray) -> Hit:
        radii = np.array(self.radii, np.float32)
        start = (origin - np.array(self.center, np.float32)) / radii
        direction = rays / radii[:, None, None]
        a = np.einsum("khw,khw->hw", direction, direction)
        b = np.einsum("khw,k->hw", direction, start)
        c = np.float32(start @ start - 1)
        root = b * b - a * c
        depth = (-b - np.sqrt(np.maximum(root, 0))) / a
        point = start[:, None, None] + depth * direction
        normal = point / radii[:, None, None]
        return _first_positive(depth, root > 0), normal / np.linalg.norm(normal, axis=0)


@dataclass(frozen=True)
class Cylinder:
    """An upright cylinder, closed at the top.

    Args:
        x: its axis' x.
        z: its axis' z.
        radius: its radius.
        bottom: height of its lower end.
        top: height of its upper end.
    """

    x: float
    z: float
    radius: float
    bottom: float
    top: float

    def bounds(self) -> Bounds:
        r = self.radius
        return np.array([self.x - r, self.bottom, self.z - r]), np.array([self.x + r, self.top, self.z + r])

    def intersect(self, origin: np.ndarray, rays: np.ndarray) -> Hit:
        x, z = origin[0] - np.float32(self.x), origin[2] - np.float32(self.z)
        r2 = np.float32(self.radius**2)
        a = _away_from_zero(rays[0] ** 2 + rays[2] ** 2)
        b = x * rays[0] + z * rays[2]
        root = b * b - a * (x * x + z * z - r2)
        depth = (-b - np.sqrt(np.maximum(root, 0))) / a
        y = origin[1] + depth * rays[1]
        depth = _first_positive(depth, (root > 0) & (y >= self.bottom) & (y <= self.top))
        reached = np.where(np.isfinite(depth), depth, 0)
        normal = np.stack([x + reached * rays[0], np.zeros_like(depth), z + reached * rays[2]]) / np.float32(
            self.radius
        )
        if origin[1] > self.top:
            lid = (np.float32(self.top) - origin[1]) / _away_from_zero(rays[1])
            on_lid = (x + lid * rays[0]) ** 2 + (z + lid * rays[2]) ** 2 < r2
            lid = _first_positive(lid, on_lid)
            first = lid < depth
            depth = np.where(first, lid, depth)
            normal = np.where(first, np.array([0, 1, 0], np.float32)[:, None, None], normal)
        return depth, normal


@dataclass(frozen=True)
class Tube:
    """The inside of a bent, folded tube along z, closed at its far end: a stretch of colon.

    At z its centre is `offset + slope * z + bend * z**2` and its radius is
    `radius * (1 + fold_height * (|sin(pi * z / fold_spacing + phase)| - 1))`, so folds reach into the lumen.

    Args:
        radius: largest radius.
        length: z of the far end.
        offset: x and y of the axis at z = 0.
        slope: direction of the axis.
        bend: curvature of the axis.
        fold_height: depth of a fold as a share of the radius. Default: 0.
        fold_spacing: distance between folds. Default: 1.
        phase: phase of the folds in radians.
        ellipticity: ratio of the y radius to the x radius. Default: 1.
        steps: cross-sections looked at between the camera and the far end. Default: 48.
    """

    radius: float
    length: float
    offset: tuple[float, float] = (0.0, 0.0)
    slope: tuple[float, float] = (0.0, 0.0)
    bend: tuple[float, float] = (0.0, 0.0)
    fold_height: float = 0.0
    fold_spacing: float = 1.0
    phase: float = 0.0
    ellipticity: float = 1.0
    steps: int = 48

    def bounds(self) -> Bounds | None:
        return None

    def axis(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The centre line's x and y at z."""
        x, y = (
            np.float32(o) + np.float32(s) * z + np.float32(b) * z * z
            for o, s, b in zip(self.offset, self.slope, self.bend, strict=True)
        )
        return x, y

    def radius_at(self, z: np.ndarray) -> np.ndarray:
        """Radius at z."""
        fold = np.abs(np.sin(np.float32(np.pi / self.fold_spacing) * z + np.float32(self.phase)))
        return np.float32(self.radius) * (1 + np.float32(self.fold_height) * (fold - 1))

    def outside(self, point: np.ndarray, z: np.ndarray) -> np.ndarray:
        """How far the point (x, y, ...) of the cross-section at z lies outside the wall; negative in the lumen."""
        x, y = self.axis(z)
        return np.hypot(point[0] - x, (point[1] - y) / np.float32(self.ellipticity)) - self.radius_at(z)

    def intersect(self, origin: np.ndarray, rays: np.ndarray) -> Hit:
        forward = np.maximum(rays[2], _TINY)
        reach = np.float32(self.length) - origin[2]
        near, far = np.zeros_like(forward), reach / forward
        below, above = np.full_like(forward, -1), np.ones_like(forward)
        searching = np.ones(forward.shape, bool)
        # From cross-section to cross-section: on one, the axis and the radius are single numbers.
        for z in origin[2] + reach * np.geomspace(0.06, 1, self.steps, dtype=np.float32):
            t = (z - origin[2]) / forward
            value = self.outside(np.stack([origin[0] + t * rays[0], origin[1] + t * rays[1]]), z)
            crossed = searching & (value > 0)
            far[crossed], above[crossed] = t[crossed], value[crossed]
            searching &= ~crossed
            near[searching], below[searching] = t[searching], value[searching]
            if not searching.any():
                break
        hit = ~searching
        for i in range(6):  # false position, and halving in turn where the wall has a kink
            t = near + (far - near) * (below / (below - above) if i % 2 else np.float32(0.5))
            point = origin[:, None, None] + t * rays
            value = self.outside(point, point[2])
            inside = value <= 0
            near, below = np.where(inside, t, near), np.where(inside, value, below)
            far, above = np.where(inside, far, t), np.where(inside, above, value)
        depth = np.where(hit, t, reach / forward)
        return depth, self._normal(origin[:, None, None] + depth * rays, hit)

    def _normal(self, point: np.ndarray, on_wall: np.ndarray) -> np.ndarray:
        step = np.float32(1e-3 * self.radius)
        here = self.outside(point, point[2])
        moved = [point + step * axis[:, None, None] for axis in np.eye(3, dtype=np.float32)]
        gradient = np.stack([self.outside(p, p[2]) - here for p in moved])
        gradient /= np.maximum(np.linalg.norm(gradient, axis=0), _TINY)
        return np.where(on_wall, -gradient, np.array([0, 0, -1], np.float32)[:, None, None])
