"""Stretches of colon in millimetres, lit by the endoscope; the segment's name tells its radius."""

from __future__ import annotations

import numpy as np

from pipelines.mini_world.camera import Camera
from pipelines.mini_world.materials import Color, Material, Pattern, vary
from pipelines.mini_world.scene import Scene
from pipelines.mini_world.setting import Setting
from pipelines.mini_world.shading import Light
from pipelines.mini_world.shapes import Tube

SEGMENTS: dict[str, float] = {
    "cecum": 32.0,
    "ascending colon": 25.3,
    "transverse colon": 20.0,
    "descending colon": 15.8,
    "sigmoid colon": 12.5,
}
"""Mean radius of each segment in millimetres, evenly spread in log scale."""

TEXTURES: dict[str, tuple[Color, Pattern]] = {
    "one": ((0.85, 0.45, 0.38), "waves"),
    "two": ((0.9, 0.6, 0.5), "checks"),
    "three": ((0.75, 0.35, 0.35), "stripes"),
    "four": ((0.95, 0.55, 0.42), "waves"),
}


def build_colon(rng: np.random.Generator) -> Setting:
    """A random stretch of one segment of the colon with one of four mucosa textures."""
    segment = str(rng.choice(list(SEGMENTS)))
    texture = str(rng.choice(list(TEXTURES)))
    color, pattern = TEXTURES[texture]
    radius = SEGMENTS[segment] * float(rng.uniform(0.94, 1.06))
    frequency = float(rng.uniform(4, 7)) / radius
    mucosa = Material(vary(rng, color, 0.06), pattern, frequency, 0.12)
    return _setting(rng, radius, mucosa, segment, texture, float(rng.uniform(0.1, 0.28)))


def build_phantom(rng: np.random.Generator) -> Setting:
    """A random stretch of a training phantom: plain pale silicone, flatter folds, any radius of the colon's."""
    low, high = np.log(min(SEGMENTS.values())), np.log(max(SEGMENTS.values()))
    radius = float(np.exp(rng.uniform(low, high)))
    silicone = Material(vary(rng, (0.8, 0.7, 0.55), 0.05))
    return _setting(rng, radius, silicone, "phantom colon", "", float(rng.uniform(0.06, 0.15)))


def _setting(
    rng: np.random.Generator, radius: float, wall: Material, place: str, texture: str, folds: float
) -> Setting:
    tube = Tube(
        radius=radius,
        length=radius * float(rng.uniform(2.2, 3.0)),
        offset=tuple(radius * rng.uniform(-0.35, 0.35, 2)),
        slope=tuple(rng.normal(0, 0.18, 2)),
        bend=tuple(rng.normal(0, 0.035, 2) / radius),
        fold_height=folds,
        fold_spacing=radius * float(rng.uniform(0.5, 0.9)),
        phase=float(rng.uniform(0, np.pi)),
        ellipticity=float(rng.uniform(0.85, 1.15)),
    )
    scene = Scene(Camera(focal=float(rng.uniform(81, 87))))
    scene.add("colon wall", [(tube, wall)])
    # The lamp is the endoscope's own and falls off in absolute millimetres: wide segments are darker.
    light = Light(
        direction=None,
        ambient=0.45,
        reach=float(rng.uniform(20, 25)),
        spread=0.03,
        exposure=float(rng.uniform(1.3, 1.5)),
        grain=0.015,
    )
    return Setting(scene, light, place, radius, detail=texture)
