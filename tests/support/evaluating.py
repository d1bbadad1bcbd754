"""`tr2m evaluate` as its users call it."""

import json

import cv2
import numpy as np

from tr2m_plugin.cli import main

MINE = {
    "type": "RGBDFolder",
    "image": "*_rgb.png",
    "depth": "*_depth.png",
    "depth_scale": 0.001,
    "unit": "m",
    "depth_range": [0.3, 8],
    "domain": "indoor",
}


def lab_entry(root):
    """The entry of the folder of the fixture `lab`."""
    files = {"image": "*_rgb.png", "depth": "*_depth.png", "depth_scale": 0.001, "unit": "m"}
    return {"type": "RGBDFolder", "root": str(root), "name": "lab", **files, "depth_range": [0.3, 10]}


def run(*arguments):
    return main(["evaluate", *map(str, arguments), "--device", "cpu", "--workers", "0", "--kind", "fixture"])


def metrics_of(out):
    return json.loads((out / "metrics.json").read_text())


def write_files(folder, mine, factor, broken=()):
    folder.mkdir(parents=True)
    for number in range(5):
        truth = cv2.imread(str(mine / f"{number}_depth.png"), cv2.IMREAD_UNCHANGED)
        np.save(folder / f"{number}.npy", np.zeros(7) if number in broken else truth * factor)
