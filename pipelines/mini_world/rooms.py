"""Indoor places, from closets to halls: sizes spread evenly in log scale, names that tell the size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipelines.mini_world.camera import Camera
from pipelines.mini_world.scene import Scene
from pipelines.mini_world.setting import Setting, enclose, furnish
from pipelines.mini_world.shading import Light

Range = tuple[float, float]


@dataclass(frozen=True)
class Room:
    """A kind of room.

    Attributes:
        depth: distance from the camera to the far wall, in metres.
        width: in metres.
        height: in metres.
        objects: what may stand in it.
    """

    depth: Range
    width: Range
    height: Range
    objects: tuple[str, ...]


ROOMS: dict[str, Room] = {
    "closet": Room((1.1, 1.5), (0.9, 1.4), (2.1, 2.4), ("broom", "bucket", "shelf", "bucket")),
    "restroom": Room((1.4, 2.0), (1.0, 1.6), (2.1, 2.4), ("toilet", "sink", "bucket", "plant")),
    "bathroom": Room((1.9, 2.7), (1.7, 2.5), (2.2, 2.5), ("bathtub", "sink", "toilet", "stool")),
    "kitchen": Room((2.6, 3.6), (2.3, 3.6), (2.4, 2.6), ("table", "chair", "refrigerator", "cabinet", "sink", "stool")),
    "bedroom": Room((3.1, 4.3), (2.7, 4.0), (2.4, 2.6), ("bed", "wardrobe", "lamp", "chair", "ball")),
    "office": Room((3.6, 5.0), (2.8, 4.5), (2.5, 2.8), ("desk", "chair", "bookshelf", "plant", "desk", "chair")),
    "living room": Room((4.4, 6.0), (3.8, 5.5), (2.5, 2.9), ("sofa", "table", "lamp", "plant", "chair", "bookshelf")),
    "classroom": Room((5.6, 7.6), (5.0, 7.0), (2.9, 3.3), ("desk", "chair", "desk", "chair", "desk", "person")),
    "dining hall": Room((6.8, 9.0), (5.5, 8.0), (3.0, 3.8), ("table", "chair", "table", "chair", "table", "person")),
    "assembly hall": Room((7.8, 9.8), (7.0, 9.5), (3.6, 5.0), ("chair", "piano", "bench", "pillar", "person", "bench")),
}
HALLWAYS: dict[str, Room] = {
    "hallway": Room((5.0, 10.0), (1.3, 2.2), (2.4, 2.8), ("plant", "bench", "person", "cabinet")),
}
WAREHOUSES: dict[str, Room] = {
    "warehouse": Room((12.0, 24.0), (8.0, 14.0), (5.0, 7.0), ("rack", "crate", "rack", "crate", "person", "rack")),
}


def build_room(rng: np.random.Generator, kinds: Mapping[str, Room] = ROOMS) -> Setting:
    """A random room of one of the given kinds, seen from one end with the ceiling light on."""
    place = str(rng.choice(list(kinds)))
    room = kinds[place]
    depth, width, height = (float(rng.uniform(*r)) for r in (room.depth, room.width, room.height))
    left = -width * float(rng.uniform(0.35, 0.65))
    camera = Camera(
        position=(0.0, float(rng.uniform(1.25, 1.65)), 0.0),
        pitch=float(rng.uniform(-0.3, -0.03)),
        yaw=float(rng.uniform(-0.3, 0.3)),
        focal=float(rng.uniform(118, 130)),
    )
    scene = Scene(camera)
    enclose(scene, rng, (left, left + width), (-0.5, depth), height)
    objects = [*room.objects, *rng.choice(room.objects, 2)]
    rng.shuffle(objects)
    count = int(rng.integers(2, len(objects) + 1))
    furnish(scene, rng, objects[:count], (left, left + width), (0.5, depth))
    light = Light(
        direction=tuple(rng.normal((0.3, 0.9, -0.5), 0.15)),
        ambient=float(rng.uniform(0.4, 0.6)),
        reach=float(rng.uniform(1.4, 1.9)) * depth**0.5,
        exposure=float(rng.uniform(1.2, 1.4)),
    )
    return Setting(scene, light, place, depth)
