"""What the builders of places hand over: a scene, its light, and what one would say about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.mini_world.materials import Material, vary
from pipelines.mini_world.objects import OBJECT_KINDS, Spot
from pipelines.mini_world.scene import Scene
from pipelines.mini_world.shading import Light
from pipelines.mini_world.shapes import Plane


@dataclass(frozen=True)
class Setting:
    """A place ready to be photographed.

    Attributes:
        scene: its objects and the camera.
        light: its light.
        place: the common name of such a place ("kitchen").
        extent: what makes it small or large: a room's depth, a street's width, a colon's radius, in world units.
        detail: anything else worth saying, by name (the texture of a colon).
        scale: factor from world units to the dataset's unit; miniatures are below one. Default: 1.
    """

    scene: Scene
    light: Light
    place: str
    extent: float
    detail: str = ""
    scale: float = 1.0


def enclose(
    scene: Scene,
    rng: np.random.Generator,
    x: tuple[float, float],
    z: tuple[float, float],
    height: float,
    floor: str = "floor",
) -> None:
    """Adds floor, ceiling and four walls around the space between `x`, `z` and below `height`."""
    tiles, paper = rng.choice(["checks", "stripes", "waves"], 2)
    ground = Material(vary(rng, (0.55, 0.4, 0.28), 0.12), str(tiles), float(rng.uniform(2, 6)), 0.07)  # type: ignore[arg-type]
    wall = Material(vary(rng, (0.78, 0.76, 0.68), 0.12), str(paper), float(rng.uniform(1, 4)), 0.07)  # type: ignore[arg-type]
    end = Material(tuple(0.9 * c for c in wall.color), wall.pattern, wall.frequency, wall.contrast)  # type: ignore[arg-type]
    scene.add(floor, [(Plane(1, 0), ground)])
    scene.add("ceiling", [(Plane(1, height, -1), Material((0.92, 0.92, 0.9)))])
    scene.add("wall", [(Plane(0, x[0]), wall)])
    scene.add("wall", [(Plane(0, x[1], -1), wall)])
    scene.add("wall", [(Plane(2, z[1], -1), end)])
    scene.add("wall", [(Plane(2, z[0]), wall)])


def furnish(
    scene: Scene,
    rng: np.random.Generator,
    names: Sequence[str],
    x: tuple[float, float],
    z: tuple[float, float],
    turn: float = 0.5,
) -> None:
    """Puts objects on free spots of the floor between `x` and `z`; one that finds none is left out.

    Args:
        scene: what they are added to.
        rng: decides where.
        names: names of the objects, keys of `objects.OBJECT_KINDS`.
        x: left and right end of the floor in metres.
        z: near and far end of the floor in metres.
        turn: largest turn about the vertical in radians. Default: 0.5.
    """
    taken: list[tuple[float, float, float]] = []
    for name in names:
        kind = OBJECT_KINDS[name]
        low_x, high_x = x[0] + 0.7 * kind.radius, x[1] - 0.7 * kind.radius
        low_z, high_z = z[0] + kind.radius, z[1] - 0.6 * kind.radius
        if low_x >= high_x or low_z >= high_z:
            continue
        for _ in range(8):
            spot = Spot(rng.uniform(low_x, high_x), rng.uniform(low_z, high_z), rng.uniform(-turn, turn))
            clear = (np.hypot(spot.x - a, spot.z - b) > 0.75 * (kind.radius + r) for a, b, r in taken)
            if all(clear):
                taken.append((spot.x, spot.z, kind.radius))
                scene.add(name, kind.build(spot, rng))
                break
