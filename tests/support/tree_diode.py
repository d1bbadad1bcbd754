"""A small DIODE in the format of its publisher."""

import json

import cv2
import numpy as np

from tests.support.tree_nyu import scene

SCANS = {"train": "scene_00000/scan_00001", "val": "scene_00022/scan_00193"}
INVALID = (slice(300, 420), slice(100, 300))
"""What the masks leave out; depth there is not 0."""


def make(root, train=1, test=2):
    """Folders `train` and `val` with a scan of outdoor scenes each, and one indoors; returns metres by sample id.

    As published: depth (768, 1024, 1) float32, and a diode_meta.json that does not list all pictures.
    """
    stored = {}
    root.mkdir(parents=True, exist_ok=True)
    for partition, count in (("train", train), ("val", test)):
        for number in range(count):
            numbers = [part[-5:] for part in SCANS[partition].split("/")]
            name = f"outdoor/{SCANS[partition]}/{'_'.join(numbers)}_outdoor_{10 * number:03d}_000"
            picture, depth = scene(len(stored), (768, 1024), 65535)
            stored[f"{partition}/{name}"] = (depth / 512).astype(np.float32)
            write(root / partition / name, picture, stored[f"{partition}/{name}"])
        if count:
            write(root / partition / name.replace("outdoor", "indoors"), picture, stored[f"{partition}/{name}"])
    (root / "diode_meta.json").write_text(json.dumps({"train": {"outdoor": {}}, "val": {"outdoor": {}}}))
    return stored


def write(path, picture, metres):
    """Picture, depth and mask of a name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(f"{path}.png", picture[..., ::-1])
    np.save(f"{path}_depth.npy", metres[..., None])
    mask = np.ones_like(metres)
    mask[INVALID] = 0
    np.save(f"{path}_depth_mask.npy", mask)
