"""Files that calibrations write: OpenCV's, ROS's, and plain YAML or JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tr2m_plugin.checks import are_numbers
from tr2m_plugin.datasets.pictures import warn_once
from tr2m_plugin.errors import InputError
from tr2m_plugin.files import read_json, read_text
from tr2m_plugin.plain_yaml import parse_yaml

MATRICES = ("camera_matrix", "cameramatrix", "k")
DISTORTIONS = ("distortion_coefficients", "distcoeffs", "dist_coeffs", "d")
SIZES = (("image_height", "image_width"), ("height", "width"))
NAMES = ("fx", "fy", "cx", "cy")


@dataclass(frozen=True)
class CameraFile:
    """A pinhole camera as a file has it.

    Attributes:
        numbers: fx, fy, cx, cy in pixels.
        size: height and width of the pictures that it was calibrated with. None: the file does not say.
    """

    numbers: tuple[float, float, float, float]
    size: tuple[int, int] | None


def read_camera(path: Path) -> CameraFile:
    """Reads a camera file.

    It is a YAML of OpenCV's FileStorage or ROS's camera_info, in which the camera matrix is called `camera_matrix` or
    `K` and the size `image_width` and `image_height` or `width` and `height`; JSON with the same names; or either with
    fx, fy, cx and cy, themselves or under `intrinsics`, as the JSON of a prediction. Distortion is not applied, of
    which a warning tells where it is not 0.

    Raises:
        InputError: it is missing, is no YAML or JSON, or holds no camera matrix; the message names it.
    """
    content = read_json(path) if path.suffix.lower() == ".json" else _read_yaml(path)
    if not isinstance(content, Mapping):
        raise InputError(f"{path} is no camera file: it must hold a camera matrix by name")
    found = {str(name).lower(): value for name, value in content.items()}
    numbers = next((_from_matrix(found[name], path) for name in MATRICES if name in found), None) or _plain(found)
    if numbers is None:
        raise InputError(f"{path} is no camera file: it has neither camera_matrix nor K nor fx, fy, cx and cy")
    distortion = next((_flat(found[name]) for name in DISTORTIONS if name in found), None)
    if distortion and any(distortion):
        warn_once(f"{path}: the lens's distortion is not applied: undistort the pictures, or clouds are bent")
    fx, fy, cx, cy = numbers
    return CameraFile((fx, fy, cx, cy), _size(found, path))


def _read_yaml(path: Path) -> Any:
    text = read_text(path)
    if text.startswith("%YAML"):  # FileStorage's own way of writing it, which is no YAML
        text = text.partition("\n")[2]
    # `rostopic echo` ends with a mark that another would follow
    return parse_yaml(text.replace("!!opencv-matrix", "").rstrip().removesuffix("\n---"), str(path))


def _flat(value: Any) -> list[float] | None:
    """The numbers of a matrix: of OpenCV and ROS under `data`, a list, or a list of rows."""
    value = value.get("data") if isinstance(value, Mapping) else value
    if isinstance(value, Sequence) and value and all(are_numbers(row) for row in value):
        value = [number for row in value for number in row]
    return [float(number) for number in value] if are_numbers(value) else None


def _from_matrix(value: Any, path: Path) -> list[float]:
    numbers = _flat(value)
    if numbers is None or len(numbers) != 9 or numbers[3:4] + numbers[6:] != [0, 0, 0, 1]:
        raise InputError(f"{path}: the camera matrix must be fx 0 cx, 0 fy cy, 0 0 1, not {str(value)[:80]}")
    return [numbers[0], numbers[4], numbers[2], numbers[5]]


def _plain(found: Mapping[str, Any]) -> list[float] | None:
    held = found.get("intrinsics", found)
    numbers: list[Any] = [held.get(name) for name in NAMES] if isinstance(held, Mapping) else [None]
    return [float(number) for number in numbers] if are_numbers(numbers) else None


def _size(found: Mapping[str, Any], path: Path) -> tuple[int, int] | None:
    names = next((names for names in SIZES if any(name in found for name in names)), None)
    if names is None:
        return None
    given: list[Any] = [found.get(name) for name in names]
    if not (are_numbers(given, 2, whole=True) and min(given) > 0):
        raise InputError(f"{path}: height and width must be whole numbers above 0, not {given}")
    return given[0], given[1]
