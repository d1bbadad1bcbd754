"""The datasets of the miniature world: what is in each, in which unit, and which picture a number stands for."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np

from pipelines.mini_world.blocks import build_blocks
from pipelines.mini_world.colons import build_colon, build_phantom
from pipelines.mini_world.rooms import HALLWAYS, WAREHOUSES, build_room
from pipelines.mini_world.setting import Setting
from pipelines.mini_world.shading import shade
from pipelines.mini_world.streets import COUNTRY_ROADS, TUNNELS, build_street

WORLD_VERSION = 1
"""Part of every seed: raised when a change to the world changes its pictures."""

DOLLS_HOUSE, MODEL_RAILWAY = 1 / 12, 1 / 43
Group = Literal["indoor", "outdoor", "surgical", "miniature"]


def _miniature(rng: np.random.Generator) -> Setting:
    if rng.random() < 0.5:
        return replace(build_room(rng), scale=DOLLS_HOUSE)
    return replace(build_street(rng), scale=MODEL_RAILWAY)


@dataclass(frozen=True)
class Domain:
    """A dataset of the miniature world.

    Attributes:
        build: makes a random place.
        group: the kind of scene, as in the paper's Table 10, and the miniatures.
        depth_range: depths outside it are not measured, in the unit.
        unit: unit of its depth. Default: metres.
        lidar: whether depth is measured on scattered points below the horizon only. Default: False.
        zero_shot: whether training must never see it. Default: False.
    """

    build: Callable[[np.random.Generator], Setting]
    group: Group
    depth_range: tuple[float, float]
    unit: Literal["m", "mm"] = "m"
    lidar: bool = False
    zero_shot: bool = False


DOMAINS: dict[str, Domain] = {
    "rooms": Domain(build_room, "indoor", (0.3, 10)),
    "streets": Domain(build_street, "outdoor", (1, 80), lidar=True),
    "colons": Domain(build_colon, "surgical", (1, 100), unit="mm"),
    "miniatures": Domain(_miniature, "miniature", (0.01, 2)),
    "hallway": Domain(partial(build_room, kinds=HALLWAYS), "indoor", (0.3, 12), zero_shot=True),
    "warehouse": Domain(partial(build_room, kinds=WAREHOUSES), "indoor", (0.3, 40), zero_shot=True),
    "tunnel": Domain(partial(build_street, kinds=TUNNELS), "outdoor", (1, 80), zero_shot=True),
    "country_road": Domain(partial(build_street, kinds=COUNTRY_ROADS), "outdoor", (1, 80), zero_shot=True),
    "diorama": Domain(_miniature, "miniature", (0.01, 2), zero_shot=True),
    "phantom": Domain(build_phantom, "surgical", (1, 100), unit="mm", zero_shot=True),
}
BLOCKS = Domain(build_blocks, "indoor", (0.3, 80))
"""Not a dataset: what the relative depth network sees in pretraining beside the training domains."""


@dataclass(frozen=True)
class Sample:
    """A picture of the miniature world with everything that is known about it.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        depth: (H, W) float32 in the domain's unit, 0 = no measurement.
        instance: (H, W) int32, index into `names`, -1 in the sky.
        names: name of every object.
        setting: the place, its extent in world units and its scale.
    """

    image: np.ndarray
    depth: np.ndarray
    instance: np.ndarray
    names: list[str]
    setting: Setting


def lidar_mask(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Where a scanner measures: every second row of the lower 60 %, and half of the points there, (H, W) bool."""
    mask = rng.random((height, width)) < 0.5
    mask[: int(0.4 * height)] = False
    mask[::2] = False
    return mask


def sample_rng(name: str, split: str, number: int) -> np.random.Generator:
    """The random stream of one picture; no two (domain, split, number) share one."""
    return np.random.default_rng([WORLD_VERSION, zlib.crc32(name.encode()), zlib.crc32(split.encode()), number])


def render(name: str, split: str, number: int, domain: Domain | None = None) -> Sample:
    """Renders one picture.

    Args:
        name: name of the domain, a key of `DOMAINS` unless `domain` is given.
        split: train, val, test or any other name; splits share no picture.
        number: which picture of the split.
        domain: a domain that is not in `DOMAINS`.

    Returns:
        The same sample for the same arguments, always.
    """
    domain = domain or DOMAINS[name]
    rng = sample_rng(name, split, number)
    setting = domain.build(rng)
    view = setting.scene.view()
    image = shade(view, setting.scene.camera, setting.scene.materials, setting.light, rng)
    depth = view.depth * np.float32(setting.scale)
    near, far = domain.depth_range
    measured = (depth >= near) & (depth <= far)
    if domain.lidar:
        measured &= lidar_mask(rng, *depth.shape)
    return Sample(image, np.where(measured, depth, np.float32(0)), view.instance, setting.scene.names, setting)
