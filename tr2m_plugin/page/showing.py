"""What the page shows of a view: depth in colour with its bar and marks, what was measured, and a surface to turn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from itertools import pairwise

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex

from tr2m_plugin.errors import InputError
from tr2m_plugin.inference.clouds import Cloud, make_glb
from tr2m_plugin.inference.outputs import Prediction
from tr2m_plugin.page.view import View
from tr2m_plugin.units import convert
from tr2m_plugin.visualization.depth import DEPTH_COLORS, colorize_depth, inverse_limits

SHOWN = 1024
"""Longest side of the coloured depth in pixels."""

SURFACE = 640
"""Longest side in pixels of what becomes a surface to turn; the file to take away has them all."""

RADIUS = 22
"""Of a mark, in pixels of what is shown."""

DARK, LIGHT = (20, 20, 20), (255, 255, 255)


def shown_factor(size: tuple[int, int]) -> float:
    """By what a depth map of that size is multiplied to be shown."""
    return SHOWN / max(size)


def draw_depth(view: View) -> np.ndarray:
    """Depth in colour, (H', W', 3) uint8 RGB, `SHOWN` pixels on its longer side, with the marked pixels and anchors."""
    depth = view.done.depth
    near, far = inverse_limits(depth)
    factor = shown_factor((depth.shape[0], depth.shape[1]))
    height, width = (max(1, round(side * factor)) for side in depth.shape)
    smooth = cv2.INTER_LINEAR if factor > 1 else cv2.INTER_AREA
    picture = colorize_depth(cv2.resize(depth, (width, height), interpolation=smooth), near, far)

    def place(u: int, v: int) -> tuple[int, int]:
        return round((u + 0.5) * factor), round((v + 0.5) * factor)

    marks = [place(*mark) for mark in view.marks]
    for color, wide in ((DARK, 7), (LIGHT, 3)):  # light on dark is seen on any colour
        for one, other in pairwise(marks):
            cv2.line(picture, one, other, color, wide, cv2.LINE_AA)
        for u, v, _ in view.known:
            cv2.drawMarker(picture, place(u, v), color, cv2.MARKER_TILTED_CROSS, 2 * RADIUS, wide, cv2.LINE_AA)
    for number, at in enumerate(marks, 1):
        cv2.circle(picture, at, RADIUS, DARK, -1, cv2.LINE_AA)
        cv2.circle(picture, at, RADIUS - 3, LIGHT, -1, cv2.LINE_AA)
        corner = (at[0] - 10, at[1] + 11)
        cv2.putText(picture, str(number), corner, cv2.FONT_HERSHEY_SIMPLEX, 1.0, DARK, 2, cv2.LINE_AA)
    return picture


def told(value: float) -> str:
    """A number with three digits that count, and all before the point."""
    digits = 2 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:.{min(max(digits, 0), 6)}f}"


def bar(prediction: Prediction) -> str:
    """The bar of the depth's colours as HTML, with six depths below it."""
    near, far = inverse_limits(prediction.depth)
    colors = ", ".join(to_hex(colormaps[DEPTH_COLORS](share)) for share in np.linspace(0, 1, 11))
    ticks = "".join(f"<span>{told(value)}</span>" for value in np.geomspace(near, far, 6))
    return (
        f'<div class="bar" style="background: linear-gradient(to right, {colors})"></div>'
        f'<div class="ticks">{ticks}</div><div class="unit">depth in {prediction.unit}</div>'
    )


def readout(view: View) -> str:
    """What was measured, as HTML: depth and distance of the marked pixels, and how far they are from each other."""
    if view.prediction is None:
        return ""
    if not view.marks:
        return "Click a pixel of the depth or the picture to read it; a second one for the distance between the two."
    unit, points = view.prediction.unit, [view.point(*mark) for mark in view.marks]
    rows = "".join(
        f"<tr><td>{number}</td><td>{u}, {v}</td><td><b>{told(point[2])} {unit}</b></td>"
        f"<td>{told(float(np.linalg.norm(point)))} {unit}</td></tr>"
        for number, ((u, v), point) in enumerate(zip(view.marks, points, strict=True), 1)
    )
    table = f"<table><tr><th></th><th>pixel</th><th>depth</th><th>from the camera</th></tr>{rows}</table>"
    if len(points) < 2:
        return table
    return f'{table}<p class="apart">1 to 2: <b>{told(math.dist(*points))} {unit}</b> apart</p>'


def camera_note(view: View) -> str:
    """Where the camera is known from."""
    if view.is_assumed:
        return (
            f"<b>The camera is {escape(view.camera.source)}.</b> Distances beside the camera's axis, and the surface, "
            "are only as right as that: set it if you know it."
        )
    return f"The camera is known from {escape(view.camera.source)}."


def anchor_note(view: View) -> str:
    """What anchors did to the depth."""
    fit = None if view.prediction is None else view.prediction.anchors
    if fit is None:
        return ""
    known = "; ".join(f"{depth:g} {view.done.unit} at {u}, {v}" for u, v, depth in view.known)
    ratio, residual = 1 / fit["scale"], fit["residual"]
    return f"Depth is {told(ratio)} times what the model said, brought to {known} (median error {residual:.0%})."


@dataclass(frozen=True)
class Surface:
    """A picture as a surface to turn.

    Attributes:
        content: a binary glTF in metres.
        middle: how far from the camera its middle is, in metres.
    """

    content: bytes
    middle: float


def surface(view: View) -> Surface | None:
    """The picture as a surface; None where all of it is edges.

    Raises:
        MissingExtraError: trimesh is not installed.
    """
    found = view.done
    factor = min(1.0, SURFACE / max(found.depth.shape))
    before = (found.depth.shape[0], found.depth.shape[1])
    height, width = (max(2, round(side * factor)) for side in before)
    depth = cv2.resize(found.depth, (width, height), interpolation=cv2.INTER_NEAREST)
    depth = convert(depth, found.unit, "m")
    colors = cv2.resize(view.image, (width, height), interpolation=cv2.INTER_AREA)
    kept = Cloud().keeps(depth, found.relative.shape)
    try:
        content = make_glb(depth, colors, view.camera.resized(before, (height, width)), kept)
    except InputError:
        return None
    return Surface(content, float(depth[kept].min() + depth[kept].max()) / 2)
