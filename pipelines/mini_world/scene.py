"""A scene: named objects made of shapes and materials, and what a camera sees of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pipelines.mini_world.camera import Camera
from pipelines.mini_world.materials import Material
from pipelines.mini_world.shapes import Shape

Part = tuple[Shape, Material]


@dataclass(frozen=True)
class View:
    """What the camera sees, one value per pixel.

    Attributes:
        depth: planar depth in world units, (H, W) float32, infinite in the sky.
        normal: outward normal of the surface seen, (3, H, W) float32.
        surface: index into the scene's materials, (H, W) int32, -1 in the sky.
        instance: index into the scene's names, (H, W) int32, -1 in the sky.
    """

    depth: np.ndarray
    normal: np.ndarray
    surface: np.ndarray
    instance: np.ndarray


@dataclass
class Scene:
    """Objects in front of a camera.

    Attributes:
        camera: the camera.
        names: name of each object; an instance label is an index into this list.
        materials: material of each surface.
    """

    camera: Camera
    names: list[str] = field(default_factory=list)
    materials: list[Material] = field(default_factory=list)
    _shapes: list[tuple[Shape, int]] = field(default_factory=list)

    def add(self, name: str, parts: list[Part]) -> int:
        """Adds an object and returns its instance label."""
        instance = len(self.names)
        self.names.append(name)
        for shape, material in parts:
            self._shapes.append((shape, instance))
            self.materials.append(material)
        return instance

    def view(self) -> View:
        """Casts a ray per pixel and keeps the nearest surface."""
        size = (self.camera.height, self.camera.width)
        depth = np.full(size, np.inf, np.float32)
        normal = np.zeros((3, *size), np.float32)
        surface = np.full(size, -1, np.int32)
        instance = np.full(size, -1, np.int32)
        everywhere = (slice(None), slice(None))
        for index, (shape, label) in enumerate(self._shapes):
            bounds = shape.bounds()
            window = everywhere if bounds is None else self.camera.window(*bounds)
            if window is None:
                continue
            found, facing = shape.intersect(self.camera.origin, self.camera.rays[(slice(None), *window)])
            nearer = found < depth[window]
            depth[window][nearer] = found[nearer]
            surface[window][nearer] = index
            instance[window][nearer] = label
            normal[(slice(None), *window)][:, nearer] = facing[:, nearer]
        return View(depth, normal, surface, instance)
