"""Outdoor places, from alleys to motorways, and the covered ones that cars use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipelines.mini_world.camera import Camera
from pipelines.mini_world.materials import Material
from pipelines.mini_world.objects import OBJECT_KINDS, Spot, building
from pipelines.mini_world.scene import Scene
from pipelines.mini_world.setting import Setting, enclose, furnish
from pipelines.mini_world.shading import Light
from pipelines.mini_world.shapes import Box, Plane

Range = tuple[float, float]


@dataclass(frozen=True)
class Street:
    """A kind of street.

    Attributes:
        half_width: from the middle to the kerb, in metres.
        houses: height of the houses on both sides in metres; None leaves the sides open.
        setback: from the kerb to the houses in metres. Default: 3.5.
        share: share of the plots that are built on. Default: 0.8.
        traffic: what drives or lies on the road.
        verge: what stands beside the road.
        closed: distance to a building that ends the street, in metres; None for an open end.
        ceiling: height of the ceiling in metres, which makes it a garage or a tunnel; None for the sky.
        length: length of a covered street in metres.
    """

    half_width: Range
    houses: Range | None
    setback: float = 3.5
    share: float = 0.8
    traffic: tuple[str, ...] = ("car",)
    verge: tuple[str, ...] = ("tree", "lamp post", "person")
    closed: Range | None = None
    ceiling: Range | None = None
    length: Range = (60.0, 79.0)


STREETS: dict[str, Street] = {
    "alley": Street((1.2, 1.8), (4, 9), setback=0.2, share=0.95, traffic=("crate", "person"), verge=()),
    "lane": Street((2.0, 2.8), (3, 6), setback=1.5, share=0.6, traffic=("person",), verge=("bush", "tree", "bench")),
    "courtyard": Street((4.0, 6.0), (7, 14), 0.5, 0.98, ("bench", "tree", "person"), ("bush",), closed=(11, 22)),
    "residential street": Street((3.6, 5.0), (4, 8)),
    "city street": Street((5.5, 7.5), (9, 22), traffic=("car", "bus", "car"), verge=("lamp post", "person", "tree")),
    "avenue": Street((8.5, 11.0), (12, 26), 5.0, traffic=("car", "bus", "truck"), verge=("tree", "tree", "person")),
    "highway": Street((12.0, 15.0), None, traffic=("car", "truck", "car"), verge=("tree", "bush")),
    "parking lot": Street(
        (16.0, 20.0), (8, 16), 6.0, 0.5, traffic=("car", "car", "car", "person"), verge=("lamp post",)
    ),
    "parking garage": Street(
        (6.0, 11.0), None, traffic=("car", "pillar", "car", "pillar", "person"), ceiling=(2.6, 3.4), length=(16, 45)
    ),
}
TUNNELS: dict[str, Street] = {
    "tunnel": Street((4.0, 6.0), None, traffic=("car", "truck", "car"), ceiling=(5.0, 6.5)),
}
COUNTRY_ROADS: dict[str, Street] = {
    "country road": Street((2.0, 3.2), None, traffic=("car",), verge=("fence", "tree", "bush", "fence")),
}


def build_street(rng: np.random.Generator, kinds: Mapping[str, Street] = STREETS) -> Setting:
    """A random street of one of the given kinds, seen along its axis at a standing person's or a car's height."""
    place = str(rng.choice(list(kinds)))
    street = kinds[place]
    half = float(rng.uniform(*street.half_width))
    camera = Camera(
        position=(float(rng.uniform(-0.5, 0.5)) * half, float(rng.uniform(1.4, 1.8)), 0.0),
        pitch=float(rng.uniform(-0.1, 0.0)),
        yaw=float(rng.uniform(-0.12, 0.12)),
        focal=float(rng.uniform(132, 143)),
    )
    scene = Scene(camera)
    if street.ceiling is not None:
        light, far = _cover(scene, rng, street, half)
    else:
        light, far = _open(scene, rng, street, half)
    _drive(scene, rng, street, half, min(far, 40.0))
    return Setting(scene, light, place, 2 * half)


def _cover(scene: Scene, rng: np.random.Generator, street: Street, half: float) -> tuple[Light, float]:
    assert street.ceiling is not None
    far = float(rng.uniform(*street.length))
    enclose(scene, rng, (-half, half), (-1, far), float(rng.uniform(*street.ceiling)), floor="road")
    light = Light((0.1, 0.9, -0.4), ambient=float(rng.uniform(0.4, 0.6)), reach=float(rng.uniform(14, 24)))
    return light, far


def _open(scene: Scene, rng: np.random.Generator, street: Street, half: float) -> tuple[Light, float]:
    scene.add("road", [(Plane(1, 0), Material((0.32, 0.32, 0.34), "waves", 3, 0.08))])
    far = 75.0
    if street.closed is not None:
        far = float(rng.uniform(*street.closed))
        scene.add("building", building(Spot(0, far + 5), rng, 8 * half, float(rng.uniform(7, 14)), 10))
    if street.houses is None:
        barrier = Material((0.7, 0.7, 0.7))
        if "truck" in street.traffic:
            for side in (-1, 1):
                scene.add("barrier", [(Box((side * (half + 0.1), 0.4, 50), (0.05, 0.4, 60)), barrier)])
        else:
            grass = Material((0.35, 0.5, 0.22), "waves", 2, 0.15)
            scene.add("grass", [(Box((side * (half + 100), 0.02, 100), (100, 0.02, 120)), grass) for side in (-1, 1)])
    else:
        _houses(scene, rng, street, half, far)
    for name in rng.choice(street.verge, int(rng.integers(3, 10))) if street.verge else ():
        spot = Spot(
            float(rng.choice([-1, 1])) * (half + float(rng.uniform(0.6, 2.5))), float(rng.uniform(4, 0.6 * far))
        )
        scene.add(str(name), OBJECT_KINDS[str(name)].build(spot, rng))
    light = Light(
        direction=tuple(rng.normal((0.4, 0.8, -0.3), 0.3)),
        ambient=float(rng.uniform(0.4, 0.6)),
        haze=float(rng.uniform(50, 120)),
        sky=tuple(rng.uniform((0.45, 0.6, 0.8), (0.7, 0.8, 0.95))),
    )
    return light, far


def _houses(scene: Scene, rng: np.random.Generator, street: Street, half: float, far: float) -> None:
    assert street.houses is not None
    pavement = Material((0.55, 0.54, 0.5), "checks", 3)
    for side in (-1, 1):
        scene.add("sidewalk", [(Box((side * (half + 2), 0.06, 50), (2, 0.06, 60)), pavement)])
        z = float(rng.uniform(-3, 3))
        while z < far:
            depth = float(rng.uniform(6, 16))
            if rng.random() < street.share:
                spot = Spot(side * (half + street.setback + 4), z + depth / 2)
                scene.add("building", building(spot, rng, 8, float(rng.uniform(*street.houses)), depth))
            z += depth + float(rng.uniform(0.2, 3))


def _drive(scene: Scene, rng: np.random.Generator, street: Street, half: float, far: float) -> None:
    count = int(rng.integers(1, int(5 + half)))
    objects = [str(name) for name in rng.choice(street.traffic, count)]
    furnish(scene, rng, objects, (-half, half), (3.0, far), turn=0.06)
