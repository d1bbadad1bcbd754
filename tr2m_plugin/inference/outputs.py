"""The files that a prediction leaves: depth as numbers, as a 16-bit PNG, in colour and as a point cloud."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tr2m_plugin.errors import InputError, require
from tr2m_plugin.files import write_whole
from tr2m_plugin.visualization import depth_with_bar


@dataclass(frozen=True)
class Prediction:
    """Metric depth of one picture.

    Attributes:
        name: of the picture, without extension.
        image: the picture, (H, W, 3) uint8 RGB.
        depth: planar depth in `unit`, (H, W) float32.
        unit: "m" or "mm".
        text: the sentence that was used.
        scale: scale map A at the network's size, (h, w) float32.
        shift: shift map B at the network's size, (h, w) float32.
        relative: relative depth D_r at the network's size, (h, w) float32.
    """

    name: str
    image: np.ndarray
    depth: np.ndarray
    unit: str
    text: str
    scale: np.ndarray
    shift: np.ndarray
    relative: np.ndarray


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera in pixels."""

    fx: float
    fy: float
    cx: float
    cy: float

    @classmethod
    def from_fov(cls, degrees: float, height: int, width: int) -> Intrinsics:
        """A camera with that horizontal field of view and its principal point in the middle of the picture.

        Raises:
            InputError: the angle is not between 0 and 180 degrees.
        """
        if not 0 < degrees < 180:
            raise InputError(f"a field of view lies between 0 and 180 degrees, not at {degrees}")
        focal = width / 2 / np.tan(np.radians(degrees) / 2)
        return cls(focal, focal, (width - 1) / 2, (height - 1) / 2)


def back_project(depth: np.ndarray, camera: Intrinsics) -> np.ndarray:
    """Points (H, W, 3) of planar depth (H, W): x to the right, y down, z forward, in the depth's unit."""
    v, u = np.indices(depth.shape, dtype=np.float32)
    return np.stack([(u - camera.cx) / camera.fx * depth, (v - camera.cy) / camera.fy * depth, depth], -1)


def png_scale(depth: np.ndarray) -> float:
    """The finest power of ten by which the depth fits into 16 bits: stored number × scale = depth."""
    largest = float(depth.max(initial=0))
    return float(10.0 ** np.ceil(np.log10(largest / 65535))) if largest > 0 else 1.0


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Writes a picture, BGR or grey, 8 or 16 bits.

    Raises:
        InputError: the file could not be written.
    """
    if not cv2.imwrite(str(path), pixels):
        raise InputError(f"{path} could not be written")


def write_ply(path: Path, points: np.ndarray, colors: np.ndarray) -> None:
    """Writes points (N, 3) with colours (N, 3) uint8 as a binary PLY file."""
    plyfile = require("plyfile", "to write point clouds", "data")
    columns = [(name, "f4") for name in "xyz"] + [(name, "u1") for name in ("red", "green", "blue")]
    vertices = np.empty(len(points), columns)
    for i, name in enumerate("xyz"):
        vertices[name] = points[:, i]
    for i, name in enumerate(("red", "green", "blue")):
        vertices[name] = colors[:, i]
    plyfile.PlyData([plyfile.PlyElement.describe(vertices, "vertex")]).write(str(path))


def write_prediction(folder: Path, prediction: Prediction, camera: Intrinsics | None = None) -> list[Path]:
    """Writes a prediction's files.

    `NAME.npy` holds depth as float32; `NAME_depth.png` holds it as 16 bits, to be multiplied by the `png_scale` of
    `NAME.json`, which also names unit and sentence; `NAME_color.png` shows it with a bar; `NAME.ply`, with a camera,
    is the coloured point cloud.

    Args:
        folder: made if need be.
        prediction: what to write.
        camera: of the picture. Default: unknown, no point cloud.

    Returns:
        The files.
    """
    base = folder / prediction.name
    base.parent.mkdir(parents=True, exist_ok=True)
    depth = prediction.depth
    step = png_scale(depth)
    facts = {
        "unit": prediction.unit,
        "png_scale": step,
        "text": prediction.text,
        "height": depth.shape[0],
        "width": depth.shape[1],
    }
    colored = depth_with_bar(depth, prediction.unit, prediction.text)
    stored = np.round(depth / step).astype(np.uint16)

    def beside(ending: str) -> Path:
        return base.with_name(base.name + ending)

    files = [
        write_whole(beside(".npy"), lambda path: np.save(path, depth)),
        write_whole(beside("_depth.png"), lambda path: write_png(path, stored)),
        write_whole(beside("_color.png"), lambda path: write_png(path, colored[..., ::-1])),
        write_whole(beside(".json"), lambda path: path.write_text(json.dumps(facts, indent=1) + "\n")),
    ]
    if camera is not None:
        points = back_project(depth, camera).reshape(-1, 3)
        files.append(write_whole(beside(".ply"), lambda path: write_ply(path, points, prediction.image.reshape(-1, 3))))
    return files
