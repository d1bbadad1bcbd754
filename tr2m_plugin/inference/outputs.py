"""The files that a prediction leaves: depth as numbers, as a 16-bit PNG, in colour and as a point cloud."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tr2m_plugin.errors import InputError
from tr2m_plugin.files import sweep, write_whole
from tr2m_plugin.inference.camera import Intrinsics
from tr2m_plugin.inference.clouds import Cloud, make_glb, write_ply
from tr2m_plugin.inference.confidence import Spread
from tr2m_plugin.replacing import check_file, read_marked
from tr2m_plugin.units import convert
from tr2m_plugin.version import __version__

FORMAT = "tr2m prediction"
"""Value of `format` in the JSON beside a prediction's files, which says that they are ours."""

ENDINGS = (".json", ".npy", "_depth.png", "_color.png", ".ply", ".glb")
SPREAD = ("_confidence.npy", "_confidence.png")
"""Endings that belong to a prediction only where it has them: `NAME_confidence` may be another picture's name."""
MOST = 65535
"""The largest number of a 16-bit PNG."""
STRIP = 4_000_000
"""Pixels that are rounded at a time: copies of all of a gigantic picture take gigabytes."""

CLOUD = Cloud()
HEADER = 33
"""Bytes of a PNG before its second chunk."""


@dataclass(frozen=True)
class Prediction:
    """Metric depth of one picture.

    Attributes:
        name: name of the picture, without extension.
        image: the picture, (H, W, 3) uint8 RGB.
        depth: planar depth in `unit`, (H, W) float32.
        unit: "m" or "mm".
        text: the sentence that was used.
        scale: scale map A at the network's size, (h, w) float32; 1 / (A · D_r + B) is depth in `unit`.
        shift: shift map B at the network's size, (h, w) float32.
        relative: relative depth D_r at the network's size, (h, w) float32.
        unit_reason: why it is that unit. Default: not said.
        model: name of the model. Default: not said.
        weights: hash of its weights. Default: not said.
        source: absolute path of the picture's file. Default: it is an array.
        anchors: how it was brought to depth that is known (see `RobustFit`), and from where. Default: it was not.
        confidence: how far other predictions of the picture lie apart. Default: not measured.
    """

    name: str
    image: np.ndarray
    depth: np.ndarray
    unit: str
    text: str
    scale: np.ndarray
    shift: np.ndarray
    relative: np.ndarray
    unit_reason: str = ""
    model: str = ""
    weights: str = ""
    source: str | None = None
    anchors: dict[str, Any] | None = None
    confidence: Spread | None = None


def png_scale(depth: np.ndarray) -> float:
    """The finest power of ten by which the depth fits into 16 bits: stored number × scale = depth."""
    largest = float(depth.max(initial=0))
    return float(10.0 ** np.ceil(np.log10(largest / MOST))) if largest > 0 else 1.0


def write_png(path: Path, pixels: np.ndarray, text: Mapping[str, str] = {}) -> None:
    """Writes a picture, BGR or grey, 8 or 16 bits, whole or not at all.

    Args:
        path: the file.
        pixels: (H, W) or (H, W, 3).
        text: by key, that the file carries. Default: none.

    Raises:
        InputError: it cannot be a PNG.
    """
    body = _encoded(pixels, path)
    for key, value in text.items():
        chunk = b"tEXt" + f"{key}\0{value}".encode("latin-1")
        sized = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        body = body[:HEADER] + sized + body[HEADER:]
    write_whole(path, lambda partial: partial.write_bytes(body))


def _encoded(pixels: np.ndarray, path: Path) -> bytes:
    """A picture as the content of a PNG."""
    # OpenCV would write to a path itself, but ends the process where a name is not UTF-8.
    done, content = cv2.imencode(".png", pixels)
    if not done:
        raise InputError(f"{path} could not be written")
    return content.tobytes()


def write_prediction(
    folder: Path,
    prediction: Prediction,
    camera: Intrinsics | None = None,
    png_unit: str | None = None,
    cloud: Cloud = CLOUD,
) -> list[Path]:
    """Writes a prediction's files.

    `NAME.npy` holds depth as float32; `NAME_depth.png` holds it as 16 bits, to be multiplied by the `png_scale` of
    `NAME.json`, which also names model, unit, sentence, camera, anchors and files; `NAME_color.png` shows it with a
    bar; `NAME.ply`, with a camera, is the coloured point cloud and `NAME.glb` a textured mesh, in metres both. Where
    confidence was measured, `NAME_confidence.npy` holds `Spread.values` and `NAME_confidence.png` shows them.

    Args:
        folder: made if need be.
        prediction: what to write.
        camera: camera of the picture. Default: unknown, no point cloud.
        png_unit: "mm" for a PNG in millimetres, as ROS reads them (REP 118): what is farther than 65,535 of them is 0,
            no measurement, and the JSON counts it as `png_beyond`. Default: as fine as 16 bits allow.
        cloud: what is written of the points. Default: see `Cloud`.

    Returns:
        The files.

    Raises:
        InputError: a cloud is wanted and no camera is known, or no point is left; or a file is there that no
            prediction of this picture wrote, but somebody else or one of another picture of that name, which is still
            there; nothing is written then.
    """
    base = folder / prediction.name
    base.parent.mkdir(parents=True, exist_ok=True)
    _sweep_once(base.parent)
    paths = {ending: base.with_name(base.name + ending) for ending in (*ENDINGS, *SPREAD)}
    before = _written_before(paths, prediction)
    stored, png = _stored(prediction, png_unit)
    clouds, told = _clouds(prediction, camera, cloud)
    more = {**_confidence(prediction), **clouds}
    files = [paths[ending] for ending in (".npy", "_depth.png", "_color.png", ".json", *more)]
    facts = {**_facts(prediction, camera, png), "cloud": told, "files": [path.name for path in files]}
    content = json.dumps(facts, indent=1) + "\n"
    # First what says that the others are ours, so that they may be replaced after an interruption.
    write_whole(paths[".json"], lambda partial: partial.write_text(content, encoding="utf-8"))
    write_whole(paths[".npy"], lambda partial: np.save(partial, prediction.depth))
    write_png(paths["_depth.png"], stored)
    del stored
    write_png(paths["_color.png"], _colored(prediction)[..., ::-1])
    for ending, write in more.items():
        write_whole(paths[ending], write)
    for path in before - set(files):  # as a cloud of an earlier prediction
        path.unlink(missing_ok=True)
    return files


@cache
def _sweep_once(folder: Path) -> None:
    """Removes what a killed run left half written, at a process's first writing into a folder."""
    sweep(folder)


def _written_before(paths: dict[str, Path], prediction: Prediction) -> set[Path]:
    """The files of an earlier prediction among those to be written."""
    source = prediction.source
    found = read_marked(paths[".json"], format=FORMAT) or {}
    other = found.get("picture")
    if isinstance(other, str) and other != source and os.path.exists(other):
        raise InputError(f"{paths['.json']} is of another picture, {other}: choose another folder with --out")
    listed = found.get("files")
    ours = {path for path in paths.values() if isinstance(listed, list) and path.name in listed}
    for ending in (*ENDINGS, *(SPREAD if prediction.confidence else ())):
        check_file(paths[ending], ours.__contains__, "of a prediction of this picture", "folder with --out")
    return ours


def _stored(prediction: Prediction, png_unit: str | None) -> tuple[np.ndarray, dict[str, Any]]:
    """The numbers of the 16-bit PNG, and what the JSON says of them."""
    depth = prediction.depth
    if png_unit not in (None, "mm"):
        raise InputError(f"png_unit is mm or None, not {png_unit!r}")
    step = png_scale(depth) if png_unit is None else 0.001 if prediction.unit == "m" else 1.0
    stored, beyond, rows = np.empty(depth.shape, np.uint16), 0, max(STRIP // depth.shape[1], 1)
    for start in range(0, len(depth), rows):
        rounded = np.round(depth[start : start + rows] / step)
        far = rounded > MOST
        rounded[far] = 0
        stored[start : start + rows] = rounded
        beyond += int(far.sum())
    counted = {"png_beyond": beyond} if png_unit else {}
    return stored, {"png_scale": step, **counted}


def _clouds(
    prediction: Prediction, camera: Intrinsics | None, cloud: Cloud
) -> tuple[dict[str, Callable[[Path], object]], dict[str, Any] | None]:
    """What writes each file of points, by its ending, and what the JSON says of them."""
    wanted = cloud.wanted(camera, prediction.name)
    if camera is None or not wanted:
        return {}, None
    depth, image = convert(prediction.depth, prediction.unit, "m"), prediction.image
    kept = cloud.keeps(depth, prediction.relative.shape)
    if not kept.any():
        found = f"{depth.min():.3g} to {depth.max():.3g} m"
        raise InputError(f"{prediction.name}: of its {found} no point is left: see --max-depth and --keep-edges")
    writers: dict[str, Callable[[Path], object]] = {}
    if "ply" in wanted:
        writers[".ply"] = lambda partial: write_ply(partial, depth, image, camera, kept)
    if "glb" in wanted:
        mesh = make_glb(depth, image, camera, kept)  # before anything is written, as it may fail
        writers[".glb"] = lambda partial: partial.write_bytes(mesh)
    return writers, cloud.facts(kept)


def _facts(prediction: Prediction, camera: Intrinsics | None, png: dict[str, Any]) -> dict[str, Any]:
    depth = prediction.depth
    return {
        "format": FORMAT,
        "version": __version__,
        "picture": prediction.source,
        "model": prediction.model,
        "weights": prediction.weights,
        "text": prediction.text,
        "unit": prediction.unit,
        "unit_reason": prediction.unit_reason,
        "depth_range": [float(depth.min()), float(depth.max())],
        **png,
        "height": depth.shape[0],
        "width": depth.shape[1],
        "network_size": list(prediction.relative.shape),
        "intrinsics": None if camera is None else camera.as_dict(),
        "anchors": prediction.anchors,
        "confidence": None if prediction.confidence is None else prediction.confidence.facts(),
    }


def _confidence(prediction: Prediction) -> dict[str, Callable[[Path], object]]:
    """What writes the files of its confidence, by their endings."""
    spread = prediction.confidence
    if spread is None:
        return {}
    from tr2m_plugin.visualization.depth import spread_with_bar

    title = f"{len(spread.texts)} sentences and the mirror image: the larger, the less sure"
    shown = spread_with_bar(spread.values, title)[..., ::-1]
    return {
        SPREAD[0]: lambda partial: np.save(partial, spread.values),
        SPREAD[1]: lambda partial: partial.write_bytes(_encoded(shown, partial)),
    }


def _colored(prediction: Prediction) -> np.ndarray:
    from tr2m_plugin.visualization.depth import depth_with_bar

    return depth_with_bar(prediction.depth, prediction.unit, prediction.text)
