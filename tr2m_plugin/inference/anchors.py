"""Predictions brought to depth that is known at a few places."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tr2m_plugin.datasets.anchors import check_points, find_anchors, points_of_map, read_anchors
from tr2m_plugin.datasets.pictures import warn_once
from tr2m_plugin.errors import InputError
from tr2m_plugin.evaluation.robust_fit import TOLERANCE, RobustFit, fit_robustly
from tr2m_plugin.inference.outputs import Prediction
from tr2m_plugin.units import check_unit, convert

MOST = 0.5
"""More than this share of the anchors must be inliers."""


@dataclass(frozen=True)
class Anchors:
    """What is known of the depth of pictures.

    Args:
        given: for one picture a file (see `read_anchors`), an array (N, 3) of u, v and depth (see `check_points`) or
            a sparse depth map (H, W), 0 = unknown; for several a folder of files (see `find_anchors`), or a list with
            one of these, or None, for each.
        unit: of these depths, "m" or "mm". Default: m.
        png_scale: factor from the numbers of depth maps in files to the unit. Needed where they are whole.

    Raises:
        InputError: there is no such unit.
    """

    given: Any
    unit: str = "m"
    png_scale: float | None = None

    def __post_init__(self) -> None:
        check_unit(self.unit)

    def by_name(self, names: Sequence[str]) -> dict[str, Any]:
        """A file or an array for each picture of which something is known.

        Args:
            names: the pictures' names.

        Raises:
            InputError: what was given is not for so many pictures, or a folder holds nothing for any of them.
        """
        if isinstance(self.given, (str, os.PathLike)):
            path = Path(self.given)
            if path.is_dir():
                found = {name: find_anchors(path, name) for name in names}
                if not any(found.values()):
                    raise InputError(
                        f"{path} holds no anchors of these pictures: they are called {names[0]}.csv or "
                        f"{names[0]}_depth.png"
                    )
                known = {name: one for name, one in found.items() if one is not None}
                if len(known) < len(names):
                    warn_once(f"{path}: {len(names) - len(known)} of {len(names)} pictures have no anchors")
                return known
            if not path.is_file():
                raise InputError(f"{path} does not exist: anchors are a file, or a folder of files")
            given: list[Any] = [path]
        else:
            given = list(self.given) if isinstance(self.given, (list, tuple)) else [self.given]
        if len(given) != len(names):
            raise InputError(f"anchors of {len(given)} pictures for {len(names)}: give a folder, or one for each")
        return {name: one for name, one in zip(names, given, strict=True) if one is not None}

    def apply(self, found: Prediction, known: Mapping[str, Any]) -> Prediction:
        """A prediction brought to what is known of its picture; as it is where that is nothing.

        Args:
            found: the prediction.
            known: what `by_name` gives.

        Raises:
            InputError: see `read_anchors`; or no more than half of the anchors agree with any fit.
        """
        if found.name not in known:
            return found
        one, size = known[found.name], (found.depth.shape[0], found.depth.shape[1])
        if isinstance(one, (str, os.PathLike)):
            points = read_anchors(Path(one), size, self.png_scale, found.source)
            return bring(found, points, self.unit, str(one))
        return bring(found, _points(np.asarray(one), size), self.unit)


def _points(given: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The points of an array, (N, 3), which may be a depth map."""
    if given.ndim != 2 or given.dtype.kind not in "fiu":
        raise InputError(
            f"anchors are an array (N, 3) of u, v and depth, or a depth map (H, W), not {given.shape} {given.dtype}"
        )
    if given.shape != size and given.shape[1] == 3:
        if not len(given):
            raise InputError("anchors hold no point")
        return check_points(given, size, [f"anchors[{number}]" for number in range(len(given))])
    return points_of_map(given, size, "a depth map of anchors")


def bring(found: Prediction, points: np.ndarray, unit: str = "m", source: str = "given") -> Prediction:
    """A prediction whose inverse depth is scaled and shifted to meet points; see `fit_robustly`.

    Args:
        found: the prediction.
        points: u, v and depth, (N, 3); a point counts for the pixel that it lies in.
        unit: of their depth. Default: m.
        source: where they are from. Default: they were given.

    Returns:
        The prediction with other depth and maps, and what was done in `anchors`.

    Raises:
        InputError: no more than half of the points agree with the best fit.
    """
    depth = found.depth
    u, v = np.floor(points[:, :2].T + 0.5).astype(int)
    fit = fit_robustly(depth[v, u], convert(points[:, 2], unit, found.unit), float(depth.max()))
    if fit.inliers <= MOST:
        raise InputError(
            f"{found.name}: the anchors ({source}) contradict each other or the picture: only {fit.inliers:.0%} of "
            f"{fit.points} agree within a factor of {TOLERANCE:g} with the best fit, which has a scale of "
            f"{1 / fit.scale:.3g} and the median error {fit.residual:.0%}; is their unit right?"
        )
    return replace(
        found,
        depth=depth / (np.float32(fit.scale) + np.float32(fit.shift) * depth),
        scale=np.float32(fit.scale) * found.scale,
        shift=np.float32(fit.scale) * found.shift + np.float32(fit.shift),
        anchors=_facts(fit, source),
    )


def _facts(fit: RobustFit, source: str) -> dict[str, Any]:
    return {"source": source, "tolerance": TOLERANCE, **asdict(fit)}
