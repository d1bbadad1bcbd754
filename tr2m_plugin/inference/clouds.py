"""Points and surfaces in front of a camera, in metres: which pixels belong to them, and their files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tr2m_plugin.errors import InputError, require
from tr2m_plugin.inference.camera import Intrinsics

ROWS = 256
"""How many rows of a picture are points in memory at once."""

EDGE = 0.05
"""Depth that jumps by more than this share of itself, from one pixel of the network to the next, is an edge."""

CORNERS = 500_000
"""About the most corners of a mesh; a larger picture's lie some pixels apart, and its texture stays fine."""

TEXTURE = 4096
"""The longest side of a texture in pixels, which all viewers can show."""

FILES = ("ply", "glb")


@dataclass(frozen=True)
class Cloud:
    """What is written of the points in front of a camera.

    Args:
        files: `ply`, a coloured cloud, and `glb`, a textured mesh. Default: a cloud where a camera was given, and not
            found in a picture's EXIF data.
        keep_edges: whether pixels at the edges of things are kept (see `EDGE`), which fly between what is near and
            what is far, since a network's depth blurs there. Default: False.
        max_depth: farthest depth in metres. Default: no end.

    Raises:
        InputError: there is no such file, or the depth is not above 0.
        MissingExtraError: trimesh, which writes meshes, is not installed.
    """

    files: Sequence[str] | None = None
    keep_edges: bool = False
    max_depth: float | None = None

    def __post_init__(self) -> None:
        unknown = [name for name in self.files or () if name not in FILES]
        if isinstance(self.files, str) or unknown:
            raise InputError(f"a cloud's files are a list of {' and '.join(FILES)}, not {self.files!r}")
        if self.max_depth is not None and not self.max_depth > 0:
            raise InputError(f"max_depth is a number of metres above 0, not {self.max_depth}")
        if "glb" in (self.files or ()):
            require("trimesh", "to write meshes (.glb)", "mesh")

    def wanted(self, camera: Intrinsics | None, name: str) -> list[str]:
        """The files of a picture.

        Raises:
            InputError: some are asked for, and no camera is known.
        """
        if self.files is None:
            return [] if camera is None or camera.is_read else ["ply"]
        if self.files and camera is None:
            raise InputError(
                f"{name}: no camera is known, as the picture has no focal length in EXIF data: give its field of view "
                "(--fov), its intrinsics or a camera file"
            )
        return list(dict.fromkeys(self.files))

    def keeps(self, depth: np.ndarray, network: Sequence[int]) -> np.ndarray:
        """Which pixels are points, (H, W) bool.

        Args:
            depth: in metres, (H, W).
            network: height and width of the network's map, of which depth is an enlargement.
        """
        kept = np.isfinite(depth) & (depth > 0)
        if self.max_depth is not None:
            kept &= depth <= self.max_depth
        if not self.keep_edges:
            kept &= ~find_edges(depth, [-(-large // small) for large, small in zip(depth.shape, network, strict=True)])
        return kept

    def facts(self, kept: np.ndarray) -> dict[str, Any]:
        """For JSON."""
        edge = None if self.keep_edges else EDGE
        return {"unit": "m", "points": int(kept.sum()), "edge": edge, "max_depth": self.max_depth}


def find_edges(depth: np.ndarray, step: Sequence[int] = (1, 1)) -> np.ndarray:
    """Pixels on both sides of a jump of depth, (H, W) bool.

    Args:
        depth: (H, W).
        step: how many rows and columns apart two pixels are compared. Default: neighbours.
    """
    edges = np.zeros(depth.shape, bool)
    for axis, by in enumerate(step):
        values, found = depth.swapaxes(0, axis), edges.swapaxes(0, axis)
        one, other = values[by:], values[:-by]
        jump = np.abs(one - other) > EDGE * np.minimum(one, other)
        found[by:] |= jump
        found[:-by] |= jump
    return edges


def back_project(depth: np.ndarray, camera: Intrinsics, first_row: int = 0) -> np.ndarray:
    """Points (H, W, 3) of planar depth (H, W): x to the right, y down, z forward, in the depth's unit.

    Args:
        depth: a picture's depth, or some rows of it.
        camera: camera of the picture.
        first_row: number of the first of these rows. Default: 0.
    """
    v, u = np.indices(depth.shape, dtype=np.float32)
    v += first_row
    return np.stack([(u - camera.cx) / camera.fx * depth, (v - camera.cy) / camera.fy * depth, depth], -1)


def write_ply(path: Path, depth: np.ndarray, colors: np.ndarray, camera: Intrinsics, kept: np.ndarray) -> None:
    """Writes a picture's coloured points as a binary PLY file in OpenCV's axes, some rows at a time.

    Args:
        path: the file.
        depth: in metres, (H, W).
        colors: (H, W, 3) uint8 RGB.
        camera: camera of the picture.
        kept: which pixels are points, (H, W) bool.
    """
    names = [*((name, "f4") for name in "xyz"), *((name, "u1") for name in ("red", "green", "blue"))]
    kinds = {"f4": "float", "u1": "uchar"}
    header = [
        "ply",
        "format binary_little_endian 1.0",
        "comment unit: m; x to the right, y down, z forward from the camera",
        f"element vertex {kept.sum()}",
        *(f"property {kinds[kind]} {name}" for name, kind in names),
        "end_header\n",
    ]
    layout = np.dtype([(name, f"<{kind}") for name, kind in names])

    def parts() -> Iterator[np.ndarray]:
        for row in range(0, len(depth), ROWS):
            rows = slice(row, row + ROWS)
            points = back_project(depth[rows], camera, row)[kept[rows]]
            pixels = colors[rows][kept[rows]]
            part = np.empty(len(points), layout)
            for number, (name, _) in enumerate(names):
                part[name] = points[:, number] if number < 3 else pixels[:, number - 3]
            yield part

    with path.open("wb") as file:
        file.write("\n".join(header).encode())
        file.writelines(part.tobytes() for part in parts())


def make_glb(depth: np.ndarray, colors: np.ndarray, camera: Intrinsics, kept: np.ndarray) -> bytes:
    """A picture as a textured surface, a binary glTF in its axes: x to the right, y up, z towards the viewer.

    The surface has no face where one of the pixels below it is left out, so it is open at the edges of things.

    Args:
        depth: in metres, (H, W).
        colors: (H, W, 3) uint8 RGB.
        camera: camera of the picture.
        kept: which pixels belong to it, (H, W) bool.

    Raises:
        InputError: no face is left.
        MissingExtraError: trimesh is not installed.
    """
    trimesh: Any = require("trimesh", "to write meshes (.glb)", "mesh")
    pillow: Any = require("PIL.Image", "to write textures", "data")
    height, width = depth.shape
    by = max(1.0, (depth.size / CORNERS) ** 0.5)
    rows, columns = (np.unique(np.linspace(0, n - 1, round(n / by)).round().astype(int)) for n in depth.shape)
    lacking = cv2.integral((~kept).astype(np.uint8))  # how many are left out above and to the left
    ends = [lacking[np.ix_(r, c)] for r in (rows[:-1], rows[1:] + 1) for c in (columns[:-1], columns[1:] + 1)]
    whole = ends[3] - ends[2] - ends[1] + ends[0] == 0
    corners = np.arange(len(rows) * len(columns)).reshape(len(rows), len(columns))
    a, b, c, d = (part[whole] for part in (corners[:-1, :-1], corners[:-1, 1:], corners[1:, :-1], corners[1:, 1:]))
    faces = np.concatenate([np.stack([a, c, b], -1), np.stack([b, c, d], -1)])  # their fronts face the camera
    if not len(faces):
        raise InputError("no surface is left of the depth for a mesh")
    used, faces = np.unique(faces, return_inverse=True)
    v, u = rows[used // len(columns)], columns[used % len(columns)]
    z = depth[v, u].astype(np.float64)
    points = np.stack([(u - camera.cx) / camera.fx * z, -(v - camera.cy) / camera.fy * z, -z], -1)
    where = np.stack([(u + 0.5) / width, 1 - (v + 0.5) / height], -1)  # from below, which trimesh turns into glTF's
    shrunk = min(1.0, TEXTURE / max(height, width))
    size = (max(1, round(width * shrunk)), max(1, round(height * shrunk)))
    texture = pillow.fromarray(colors if shrunk == 1 else cv2.resize(colors, size, interpolation=cv2.INTER_AREA))
    material = trimesh.visual.material.PBRMaterial(
        baseColorTexture=texture, metallicFactor=0.0, roughnessFactor=1.0, doubleSided=True
    )
    visual = trimesh.visual.TextureVisuals(uv=where, material=material)
    return trimesh.Trimesh(points, faces.reshape(-1, 3), visual=visual, process=False).export(file_type="glb")
