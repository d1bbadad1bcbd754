"""The things that stand in the miniature world's places, built of boxes, cylinders and ellipsoids in metres."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from pipelines.mini_world.materials import Color, Material, vary
from pipelines.mini_world.scene import Part
from pipelines.mini_world.shapes import Box, Cylinder, Ellipsoid


@dataclass(frozen=True)
class Spot:
    """Where an object stands: a point of the floor and the object's turn about the vertical in radians."""

    x: float
    z: float
    yaw: float = 0.0

    def _at(self, x: float, z: float) -> tuple[float, float]:
        cos, sin = float(np.cos(self.yaw)), float(np.sin(self.yaw))
        return self.x + cos * x + sin * z, self.z - sin * x + cos * z

    def box(self, center: tuple[float, float, float], size: tuple[float, float, float]) -> Box:
        """A box given in the object's own axes: centre, then full width, height and depth."""
        x, z = self._at(center[0], center[2])
        return Box((x, center[1], z), (size[0] / 2, size[1] / 2, size[2] / 2), self.yaw)

    def ball(self, center: tuple[float, float, float], radius: float, height: float | None = None) -> Ellipsoid:
        """A ball given in the object's own axes, or an ellipsoid with another vertical radius."""
        x, z = self._at(center[0], center[2])
        return Ellipsoid((x, center[1], z), (radius, radius if height is None else height, radius))

    def post(self, x: float, z: float, radius: float, bottom: float, top: float) -> Cylinder:
        """An upright cylinder given in the object's own axes."""
        return Cylinder(*self._at(x, z), radius, bottom, top)


Builder = Callable[[Spot, np.random.Generator], list[Part]]


def _table(
    spot: Spot, rng: np.random.Generator, width: float = 1.2, depth: float = 0.8, height: float = 0.75
) -> list[Part]:
    wood = Material(vary(rng, (0.7, 0.5, 0.3)), "stripes", 9)
    legs = [
        (spot.box((x * (width / 2 - 0.05), height / 2, z * (depth / 2 - 0.05)), (0.06, height, 0.06)), wood)
        for x in (-1, 1)
        for z in (-1, 1)
    ]
    return [(spot.box((0, height - 0.03, 0), (width, 0.06, depth)), wood), *legs]


def _chair(spot: Spot, rng: np.random.Generator) -> list[Part]:
    paint = Material(vary(rng, (0.8, 0.25, 0.2)))
    return [
        (spot.box((0, 0.45, 0), (0.44, 0.06, 0.44)), paint),
        (spot.box((0, 0.7, 0.2), (0.44, 0.5, 0.04)), Material(paint.color, "stripes", 14)),
        (
            spot.box((0, 0.22, 0), (0.36, 0.42, 0.36)),
            Material((0.6 * paint.color[0], 0.6 * paint.color[1], 0.6 * paint.color[2])),
        ),
    ]


def _bed(spot: Spot, rng: np.random.Generator) -> list[Part]:
    return [
        (spot.box((0, 0.25, 0), (1.5, 0.5, 2.0)), Material(vary(rng, (0.3, 0.4, 0.8)), "checks", 5)),
        (spot.box((0, 0.5, 1.0), (1.56, 1.0, 0.08)), Material((0.4, 0.28, 0.18), "stripes", 6)),
        (spot.box((0, 0.56, 0.75), (1.0, 0.14, 0.36)), Material((0.95, 0.95, 0.92))),
    ]


def _sofa(spot: Spot, rng: np.random.Generator) -> list[Part]:
    cloth = Material(vary(rng, (0.2, 0.6, 0.6)))
    back = (spot.box((0, 0.5, 0.38), (1.9, 0.8, 0.2)), cloth)
    arms = [(spot.box((x * 0.9, 0.35, 0), (0.16, 0.6, 0.84)), cloth) for x in (-1, 1)]
    return [(spot.box((0, 0.22, 0), (1.9, 0.44, 0.84)), cloth), back, *arms]


def _cupboard(
    spot: Spot, rng: np.random.Generator, width: float, height: float, depth: float, color: Color
) -> list[Part]:
    body = Material(vary(rng, color), "checks", 8)
    return [(spot.box((0, height / 2, 0), (width, height, depth)), body)]


def _lamp(spot: Spot, rng: np.random.Generator) -> list[Part]:
    return [
        (spot.post(0, 0, 0.03, 0, 1.4), Material((0.3, 0.3, 0.3))),
        (spot.ball((0, 1.5, 0), 0.2), Material(vary(rng, (0.95, 0.92, 0.7), 0.03))),
    ]


def _ball(spot: Spot, rng: np.random.Generator) -> list[Part]:
    return [(spot.ball((0, 0.15, 0), 0.15), Material(vary(rng, (0.95, 0.7, 0.1)), "checks", 20, 0.15))]


def _plant(spot: Spot, rng: np.random.Generator) -> list[Part]:
    return [
        (spot.post(0, 0, 0.15, 0, 0.35), Material((0.6, 0.35, 0.2))),
        (spot.ball((0, 0.65, 0), 0.35), Material(vary(rng, (0.2, 0.55, 0.2)), "waves", 25, 0.4)),
    ]


def _stool(spot: Spot, rng: np.random.Generator) -> list[Part]:
    return [(spot.post(0, 0, 0.18, 0, 0.45), Material(vary(rng, (0.6, 0.3, 0.6))))]


def _bucket(spot: Spot, rng: np.random.Generator) -> list[Part]:
    return [(spot.post(0, 0, 0.14, 0, 0.3), Material(vary(rng, (0.2, 0.45, 0.85))))]


def _broom(spot: Spot, rng: np.random.Generator) -> list[Part]:
    return [
        (spot.post(0, 0, 0.02, 0.1, 1.35), Material((0.75, 0.6, 0.35))),
        (spot.box((0, 0.07, 0), (0.35, 0.14, 0.06)), Material(vary(rng, (0.85, 0.75, 0.3)), "stripes", 60)),
    ]


def _toilet(spot: Spot, rng: np.random.Generator) -> list[Part]:
    china = Material((0.95, 0.95, 0.97))
    return [
        (spot.post(0, 0, 0.2, 0, 0.4), china),
        (spot.box((0, 0.6, 0.25), (0.4, 0.4, 0.16)), china),
    ]


def _bathtub(spot: Spot, rng: np.random.Generator) -> list[Part]:
    return [(spot.box((0, 0.28, 0), (0.75, 0.56, 1.6)), Material(vary(rng, (0.9, 0.95, 0.98), 0.04)))]


def _sink(spot: Spot, rng: np.random.Generator) -> list[Part]:
    return [
        (spot.post(0, 0, 0.08, 0, 0.75), Material((0.85, 0.87, 0.9))),
        (spot.box((0, 0.82, 0), (0.55, 0.16, 0.42)), Material((0.95, 0.96, 0.98))),
    ]


def _crate(spot: Spot, rng: np.random.Generator, size: float = 0.8) -> list[Part]:
    size *= float(rng.uniform(0.8, 1.2))
    return [(spot.box((0, size / 2, 0), (size, size, size)), Material((0.65, 0.48, 0.3), "stripes", 8))]


def _rack(spot: Spot, rng: np.random.Generator) -> list[Part]:
    steel = Material(vary(rng, (0.85, 0.4, 0.15)))
    shelves = [(spot.box((0, y, 0), (2.4, 0.1, 0.9)), steel) for y in (0.2, 1.4, 2.6)]
    posts = [(spot.box((x * 1.2, 1.6, z * 0.42), (0.08, 3.2, 0.08)), steel) for x in (-1, 1) for z in (-1, 1)]
    boxes = [
        (spot.box((x, y + 0.4, 0), (0.7, 0.7, 0.7)), Material(vary(rng, (0.7, 0.55, 0.35)), "stripes", 8))
        for y in (0.2, 1.4, 2.6)
        for x in rng.choice([-0.8, 0.0, 0.8], 2, replace=False)
    ]
    return [*shelves, *posts, *boxes]


def _piano(spot: Spot, rng: np.random.Generator) -> list[Part]:
    black = Material(vary(rng, (0.1, 0.09, 0.09), 0.03))
    return [
        (spot.box((0, 0.6, 0.1), (1.45, 1.2, 0.4)), black),
        (spot.box((0, 0.68, -0.22), (1.4, 0.12, 0.3)), Material((0.92, 0.92, 0.9), "stripes", 90, 0.4)),
    ]


def _person(spot: Spot, rng: np.random.Generator) -> list[Part]:
    return [
        (spot.post(0, 0, 0.22, 0, 1.45), Material(vary(rng, (0.5, 0.2, 0.5)))),
        (spot.ball((0, 1.62, 0), 0.16), Material((0.85, 0.65, 0.5))),
    ]


_CAR_COLORS: tuple[Color, ...] = ((0.8, 0.15, 0.15), (0.15, 0.25, 0.75), (0.9, 0.9, 0.9))


def _car(spot: Spot, rng: np.random.Generator) -> list[Part]:
    paint = Material(vary(rng, _CAR_COLORS[int(rng.integers(len(_CAR_COLORS)))]))
    wheels = [
        (spot.ball((x * 0.8, 0.32, z * 1.25), 0.32), Material((0.08, 0.08, 0.08))) for x in (-1, 1) for z in (-1, 1)
    ]
    return [
        (spot.box((0, 0.6, 0), (1.7, 0.7, 4.0)), paint),
        (spot.box((0, 1.15, 0), (1.44, 0.5, 2.0)), Material((0.2, 0.25, 0.3))),
        *wheels,
    ]


def _truck(spot: Spot, rng: np.random.Generator) -> list[Part]:
    return [
        (spot.box((0, 1.9, 1.0), (2.4, 3.0, 6.0)), Material(vary(rng, (0.9, 0.6, 0.2)))),
        (spot.box((0, 1.2, -2.8), (2.2, 2.0, 1.6)), Material(vary(rng, (0.8, 0.5, 0.2)))),
    ]


def _bus(spot: Spot, rng: np.random.Generator) -> list[Part]:
    return [
        (spot.box((0, 1.6, 0), (2.5, 2.8, 10.0)), Material(vary(rng, (0.95, 0.8, 0.15)))),
        (spot.box((0, 2.1, 0), (2.54, 0.9, 9.4)), Material((0.18, 0.22, 0.28))),
    ]


def _tree(spot: Spot, rng: np.random.Generator) -> list[Part]:
    trunk = float(rng.uniform(2, 4))
    crown = float(rng.uniform(1.3, 2))
    leaves = Material((0.2, float(rng.uniform(0.4, 0.6)), 0.2), "waves", 4, 0.35)
    return [
        (spot.post(0, 0, 0.2, 0, trunk), Material((0.4, 0.28, 0.18))),
        (spot.ball((0, trunk + 1.2, 0), crown), leaves),
    ]


def _bush(spot: Spot, rng: np.random.Generator) -> list[Part]:
    size = float(rng.uniform(0.5, 0.9))
    return [(spot.ball((0, 0.6 * size, 0), size, 0.8 * size), Material(vary(rng, (0.25, 0.5, 0.2)), "waves", 8, 0.35))]


def _lamp_post(spot: Spot, rng: np.random.Generator) -> list[Part]:
    return [
        (spot.post(0, 0, 0.1, 0, 5.5), Material((0.35, 0.35, 0.38))),
        (spot.ball((0, 5.6, 0), 0.3), Material((0.95, 0.9, 0.6))),
    ]


def _pillar(spot: Spot, rng: np.random.Generator) -> list[Part]:
    return [(spot.box((0, 2, 0), (0.6, 4, 0.6)), Material(vary(rng, (0.7, 0.7, 0.68)), "stripes", 3))]


def _bench(spot: Spot, rng: np.random.Generator) -> list[Part]:
    wood = Material(vary(rng, (0.5, 0.35, 0.2)), "stripes", 20)
    return [
        (spot.box((0, 0.42, 0), (1.6, 0.08, 0.45)), wood),
        (spot.box((0, 0.75, 0.2), (1.6, 0.35, 0.06)), wood),
        (spot.box((0, 0.2, 0), (1.4, 0.4, 0.3)), Material((0.3, 0.3, 0.3))),
    ]


def _fence(spot: Spot, rng: np.random.Generator, length: float = 4.0) -> list[Part]:
    wood = Material(vary(rng, (0.55, 0.42, 0.28)))
    rails = [(spot.box((0, y, 0), (0.06, 0.1, length)), wood) for y in (0.5, 0.95)]
    posts = [(spot.box((0, 0.55, z * length / 2), (0.1, 1.1, 0.1)), wood) for z in (-1, 0, 1)]
    return [*rails, *posts]


def building(spot: Spot, rng: np.random.Generator, width: float, height: float, depth: float) -> list[Part]:
    """A block of flats with a chequered front; width, height and depth in metres."""
    front = Material(vary(rng, (0.65, 0.5, 0.42), 0.15), "checks", 2.2)
    return [(spot.box((0, height / 2, 0), (width, height, depth)), front)]


@dataclass(frozen=True)
class ObjectKind:
    """A kind of object.

    Attributes:
        build: makes one on a spot.
        radius: radius of the floor it needs, in metres.
    """

    build: Builder
    radius: float


OBJECT_KINDS: dict[str, ObjectKind] = {
    "ball": ObjectKind(_ball, 0.2),
    "bathtub": ObjectKind(_bathtub, 0.8),
    "bed": ObjectKind(_bed, 1.1),
    "bench": ObjectKind(_bench, 0.8),
    "bookshelf": ObjectKind(partial(_cupboard, width=1.0, height=2.0, depth=0.35, color=(0.4, 0.25, 0.15)), 0.5),
    "broom": ObjectKind(_broom, 0.2),
    "bucket": ObjectKind(_bucket, 0.16),
    "bus": ObjectKind(_bus, 5.2),
    "bush": ObjectKind(_bush, 0.9),
    "cabinet": ObjectKind(partial(_cupboard, width=0.9, height=0.9, depth=0.5, color=(0.6, 0.45, 0.3)), 0.5),
    "car": ObjectKind(_car, 2.2),
    "chair": ObjectKind(_chair, 0.35),
    "crate": ObjectKind(_crate, 0.6),
    "desk": ObjectKind(partial(_table, width=1.4, depth=0.7), 0.75),
    "fence": ObjectKind(_fence, 2.0),
    "lamp": ObjectKind(_lamp, 0.25),
    "lamp post": ObjectKind(_lamp_post, 0.3),
    "person": ObjectKind(_person, 0.3),
    "piano": ObjectKind(_piano, 0.75),
    "pillar": ObjectKind(_pillar, 0.45),
    "plant": ObjectKind(_plant, 0.35),
    "rack": ObjectKind(_rack, 1.3),
    "refrigerator": ObjectKind(partial(_cupboard, width=0.65, height=1.8, depth=0.65, color=(0.88, 0.9, 0.92)), 0.5),
    "shelf": ObjectKind(partial(_cupboard, width=0.6, height=1.5, depth=0.3, color=(0.5, 0.33, 0.2)), 0.35),
    "sink": ObjectKind(_sink, 0.3),
    "sofa": ObjectKind(_sofa, 0.95),
    "stool": ObjectKind(_stool, 0.25),
    "table": ObjectKind(_table, 0.7),
    "toilet": ObjectKind(_toilet, 0.35),
    "tree": ObjectKind(_tree, 1.2),
    "truck": ObjectKind(_truck, 4.2),
    "wardrobe": ObjectKind(partial(_cupboard, width=1.2, height=2.1, depth=0.6, color=(0.45, 0.3, 0.2)), 0.7),
}
