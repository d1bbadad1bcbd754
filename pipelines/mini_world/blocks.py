"""Random solids on a plane or in a box, for pretraining the relative depth network on more than the places."""

from __future__ import annotations

import numpy as np

from pipelines.mini_world.camera import Camera
from pipelines.mini_world.materials import PATTERNS, Material
from pipelines.mini_world.scene import Part, Scene
from pipelines.mini_world.setting import Setting, enclose
from pipelines.mini_world.shading import Light
from pipelines.mini_world.shapes import Box, Cylinder, Ellipsoid, Plane


def _material(rng: np.random.Generator) -> Material:
    pattern = PATTERNS[int(rng.integers(len(PATTERNS)))]
    return Material(tuple(rng.uniform(0.25, 0.95, 3)), pattern, float(rng.uniform(2, 15)), 0.2)


def _solid(rng: np.random.Generator, reach: float) -> Part:
    z = float(rng.uniform(1.5, reach))
    x = float(rng.uniform(-0.6, 0.6)) * z
    size = float(rng.uniform(0.1, 0.9)) * (0.3 + z / 8)
    y = size if rng.random() < 0.75 else float(rng.uniform(size, size + 2.5))
    kind = int(rng.integers(3))
    if kind == 0:
        half = (size * float(rng.uniform(0.3, 1.2)), size, size * float(rng.uniform(0.3, 1.2)))
        return Box((x, y, z), half, float(rng.uniform(-1.5, 1.5))), _material(rng)
    if kind == 1:
        return Ellipsoid((x, y, z), (size, size, size)), _material(rng)
    return Cylinder(x, z, 0.6 * size, max(y - size, 0), y + size * float(rng.uniform(0.3, 2))), _material(rng)


def build_blocks(rng: np.random.Generator) -> Setting:
    """Three to eleven random solids, indoors or outdoors, 4 to 25 m deep."""
    reach = float(rng.uniform(4, 25))
    camera = Camera(
        position=(0.0, float(rng.uniform(0.8, 2.5)), 0.0),
        pitch=float(rng.uniform(-0.4, 0.05)),
        yaw=float(rng.uniform(-0.4, 0.4)),
        focal=float(rng.uniform(84, 150)),
    )
    scene = Scene(camera)
    if rng.random() < 0.6:
        left, right = reach * rng.uniform(0.2, 0.6, 2)
        enclose(scene, rng, (-left, right), (-0.5, reach), float(rng.uniform(2.6, 8)))
    else:
        scene.add("floor", [(Plane(1, 0), _material(rng))])
    for _ in range(int(rng.integers(3, 12))):
        scene.add("block", [_solid(rng, reach)])
    light = Light(
        direction=tuple(rng.normal((0.3, 0.8, -0.5), 0.4)),
        ambient=float(rng.uniform(0.35, 0.6)),
        reach=reach * float(rng.uniform(0.4, 0.8)),
        haze=reach * float(rng.uniform(2, 5)),
        sky=tuple(rng.uniform((0.45, 0.6, 0.8), (0.7, 0.8, 0.95))),
    )
    return Setting(scene, light, "blocks", reach)
