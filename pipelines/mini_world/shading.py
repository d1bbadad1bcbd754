"""Light: what a picture of the surfaces in view looks like, with falloff, haze, sky and sensor noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.mini_world.camera import Camera
from pipelines.mini_world.materials import PATTERNS, Color, Material
from pipelines.mini_world.scene import View


@dataclass(frozen=True)
class Light:
    """The light of a scene.

    Args:
        direction: towards the light, any length; None puts the light at the camera.
        ambient: share of the light that comes from everywhere.
        reach: distance in world units at which the light carried by the camera has fallen to half; None
            for daylight, which does not fall off.
        spread: share of the light that does not fall off when `reach` is given. Default: 0.3.
        haze: distance in world units over which the colour fades towards the haze's; None for clear air.
        sky: colour of the sky; None where no ray escapes.
        exposure: factor on the whole picture. Default: 1.
        grain: standard deviation of the sensor noise. Default: 0.02.
    """

    direction: tuple[float, float, float] | None = (0.4, 0.8, -0.45)
    ambient: float = 0.5
    reach: float | None = None
    spread: float = 0.3
    haze: float | None = None
    sky: Color | None = None
    exposure: float = 1.0
    grain: float = 0.02


_HAZE_COLOR = np.array([0.75, 0.8, 0.85], np.float32)


def _pattern(point: np.ndarray, kind: np.ndarray, frequency: np.ndarray) -> np.ndarray:
    u = (point[0] + np.float32(0.37) * point[1]) * frequency
    v = (point[2] + np.float32(0.61) * point[1]) * frequency
    sin_u, sin_v = np.sin(u), np.sin(v)
    waves = np.sin(np.float32(1.7) * u + 2 * sin_v) * np.sin(np.float32(2.3) * v + np.float32(1.5) * sin_u)
    return np.select(
        [kind == 0, kind == 1, kind == 2], [np.zeros_like(u), np.sign(sin_u * sin_v), np.sign(sin_u)], waves
    )


def shade(
    view: View, camera: Camera, materials: Sequence[Material], light: Light, rng: np.random.Generator
) -> np.ndarray:
    """Paints what a camera sees.

    Args:
        view: the surfaces seen.
        camera: the camera that sees them.
        materials: material of each surface.
        light: the light.
        rng: source of the sensor noise.

    Returns:
        The picture, (H, W, 3) uint8 RGB.
    """
    seen = view.surface >= 0
    depth = np.where(seen, view.depth, 0)
    table = np.array([(*m.color, PATTERNS.index(m.pattern), m.frequency, m.contrast) for m in materials], np.float32)
    look = table[np.maximum(view.surface, 0)]
    point = camera.origin[:, None, None] + depth * camera.rays
    texture = 1 + look[..., 5] * _pattern(point, look[..., 3], look[..., 4])

    length = np.linalg.norm(camera.rays, axis=0)
    if light.direction is None:
        facing = -np.einsum("khw,khw->hw", view.normal, camera.rays) / length
    else:
        toward = np.array(light.direction, np.float32)
        facing = np.einsum("khw,k->hw", view.normal, toward / np.linalg.norm(toward))
    brightness = np.float32(light.ambient) + np.float32(1 - light.ambient) * np.maximum(facing, 0)
    if light.reach is not None:
        falloff = 1 / (1 + (depth * length / np.float32(light.reach)) ** 2)
        brightness *= np.float32(light.spread) + np.float32(1.2 - light.spread) * falloff
    picture = look[..., :3] * (texture * brightness * np.float32(light.exposure))[..., None]

    if light.haze is not None:
        clear = np.exp(-depth / np.float32(light.haze))[..., None]
        picture = picture * clear + _HAZE_COLOR * (1 - clear)
    if light.sky is not None:
        fade = np.linspace(0, 1, camera.height, dtype=np.float32)[:, None, None]
        sky = np.array(light.sky, np.float32) * (1 - fade / 2) + fade / 2
        picture = np.where(seen[..., None], picture, sky)
    picture = picture + rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(light.grain)
    return (np.clip(picture, 0, 1) * 255).astype(np.uint8)
