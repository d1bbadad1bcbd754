"""What one visitor of the page has: a picture, its camera and depth, marked pixels and what is known of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from tr2m_plugin.errors import InputError
from tr2m_plugin.inference.anchors import bring
from tr2m_plugin.inference.camera import Intrinsics
from tr2m_plugin.inference.clouds import back_project
from tr2m_plugin.inference.outputs import Prediction

ASSUMED = "assumed"
"""How the source of a camera begins of which nothing is known."""

ASSUMED_FOV = 60.0
"""Horizontal field of view in degrees of such a camera: between a phone's main camera (70) and a longer lens."""


def assumed_camera(size: tuple[int, int]) -> Intrinsics:
    """The camera of a picture, height and width, of which nothing is known."""
    camera = Intrinsics.from_fov(ASSUMED_FOV, *size)
    return replace(camera, source=f"{ASSUMED}: {camera.source}")


@dataclass(frozen=True)
class View:
    """What a visitor has.

    Attributes:
        name: of the picture, without extension.
        image: (H, W, 3) uint8 RGB.
        camera: of the picture, given, read or assumed.
        said: what the model says; None before it did.
        known: u, v and depth of pixels, in the unit of `said`.
        prediction: what the model says, brought to what is known; None before.
        marks: pixels (u, v), two at most.
    """

    name: str
    image: np.ndarray
    camera: Intrinsics
    said: Prediction | None = None
    known: tuple[tuple[int, int, float], ...] = ()
    prediction: Prediction | None = None
    marks: tuple[tuple[int, int], ...] = ()

    @property
    def done(self) -> Prediction:
        """The prediction.

        Raises:
            InputError: there is none yet.
        """
        if self.prediction is None:
            raise InputError("there is no depth yet: measure it first")
        return self.prediction

    @property
    def is_assumed(self) -> bool:
        """Whether nothing is known of the camera."""
        return self.camera.source.startswith(ASSUMED)

    @property
    def fov(self) -> float:
        """Horizontal field of view in degrees."""
        return math.degrees(2 * math.atan(self.image.shape[1] / 2 / self.camera.fx))

    def seen_through(self, fov: float) -> View:
        """With a camera of that horizontal field of view in degrees.

        Raises:
            InputError: it is none.
        """
        return replace(self, camera=Intrinsics.from_fov(fov, *self.image.shape[:2]))

    def measured(self, said: Prediction) -> View:
        """With what the model says now; what is known of the picture stays known, unless the unit is another.

        Raises:
            InputError: what is known contradicts it.
        """
        known = self.known if self.said is None or self.said.unit == said.unit else ()
        return replace(self, said=said)._known_to_be(known)

    def marked(self, u: int, v: int) -> View:
        """With a pixel marked; the third begins anew.

        Raises:
            InputError: there is no depth yet.
        """
        height, width = self.done.depth.shape
        place = min(max(u, 0), width - 1), min(max(v, 0), height - 1)
        return replace(self, marks=(*self.marks, place) if len(self.marks) < 2 else (place,))

    def anchored(self, depth: float | None) -> View:
        """With a known depth, in the prediction's unit, at the pixel that was marked last.

        Raises:
            InputError: none is marked, the depth is none, or it contradicts the others.
        """
        if not self.marks:
            raise InputError("click the pixel whose depth is known first")
        if depth is None or not (math.isfinite(depth) and depth > 0):
            raise InputError("type the depth that is known there, a number above 0")
        place = self.marks[-1]
        others = tuple(one for one in self.known if one[:2] != place)
        return self._known_to_be((*others, (*place, float(depth))))

    def forgotten(self) -> View:
        """Without anything known."""
        return self._known_to_be(())

    def point(self, u: int, v: int) -> np.ndarray:
        """What a pixel shows, (3,) in the prediction's unit: x to the right, y down, z forward from the camera."""
        return back_project(self.done.depth[v : v + 1], self.camera, v)[0, u].astype(np.float64)

    def _known_to_be(self, known: tuple[tuple[int, int, float], ...]) -> View:
        said = replace(self, prediction=self.said).done
        prediction = bring(said, np.array(known), said.unit, "the page") if known else said
        return replace(self, known=known, prediction=prediction)
