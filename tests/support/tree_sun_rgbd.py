"""A small SUN RGB-D in the formats of its publisher and of Depth Anything's evaluation."""

import cv2
import numpy as np
from scipy.io import savemat

SCENES = (("kv1/NYUdata", (427, 561)), ("kv2/kinect2data", (530, 730)), ("realsense/lg", (531, 681)))
"""Folders of sensors, with the size of their pictures."""
CAMERA = "529.5 0 365.0 0 529.5 265.0 0 0 1"


def rotate(millimetres):
    """The publisher's encoding: the 16 bits of every number rotated left by three."""
    return ((millimetres << 3) | (millimetres >> 13)).astype(np.uint16)


def scene(seed, size):
    """A picture and depth in millimetres, uint16 with a hole and up to 9 m."""
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 255, (*size, 3), np.uint8)
    millimetres = (np.linspace(500, 9000, size[0])[:, None] + rng.integers(0, 99, size[1])).astype(np.uint16)
    millimetres[10:20, 30:40] = 0
    return picture, millimetres


def make(root, train=2, test=2, where="SUNRGBDtoolbox/traintestSUNRGBD"):
    """The publisher's folders with `allsplit.mat` in `where`; returns stored depth by sample id, that of `depth_bfx`.

    As published: listed paths are those of a machine at Princeton, some with a slash at the end; `depth` has holes that
    `depth_bfx` has not; file names of picture and depth differ; the camera is one line.
    """
    stored, cells = {}, {}
    for split, count in (("train", train), ("test", test)):
        paths = []
        for number in range(count):
            sensor, size = SCENES[len(stored) % len(SCENES)]
            below = f"SUNRGBD/{sensor}/{split}{number:04d}"
            picture, holed = scene(len(stored), size)
            filled = np.where(holed == 0, 1000, holed).astype(np.uint16)
            for kind in ("image", "depth", "depth_bfx"):
                (root / below / kind).mkdir(parents=True)
            cv2.imwrite(str(root / below / f"image/{number:07d}.jpg"), picture[..., ::-1])
            cv2.imwrite(str(root / below / f"depth/{number:07d}_abs.png"), rotate(holed))
            cv2.imwrite(str(root / below / f"depth_bfx/{number:07d}_abs.png"), rotate(filled))
            (root / below / "intrinsics.txt").write_text(CAMERA)
            stored[f"{below}/image/{number:07d}"] = rotate(filled)
            paths.append(f"/n/fs/sun3d/data/{below}" + "/" * (number % 2))
        cells[f"all{split}"] = np.array([paths], dtype=object).reshape(1, count)
    (root / where).mkdir(parents=True, exist_ok=True)
    savemat(root / where / "allsplit.mat", cells)
    return stored


def make_test(root, test=2, folders=("rgb", "depth"), image="img-{:06d}.jpg", depth="{}.png"):
    """The test pictures as Depth Anything names them; returns stored depth by sample id."""
    stored = {}
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
    for number in range(1, test + 1):
        picture, millimetres = scene(number, SCENES[number % len(SCENES)][1])
        name = image.format(number)
        stored[name.rpartition(".")[0]] = rotate(millimetres)
        cv2.imwrite(str(root / folders[0] / name), picture[..., ::-1])
        cv2.imwrite(str(root / folders[1] / depth.format(number)), rotate(millimetres))
    return stored
