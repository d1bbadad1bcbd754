"""A small SimCol3D in the formats of its publisher."""

import cv2
import numpy as np

SIZE = (475, 475)
SCENES = {"S": "SyntheticColon_I", "B": "SyntheticColon_II", "O": "SyntheticColon_III"}


def frame(seed):
    """A picture with a channel for transparency, (475, 475, 4) uint8 RGBA, and stored depth, uint16 up to 20 cm."""
    rng = np.random.default_rng(seed)
    picture = np.repeat(rng.integers(0, 255, (SIZE[0], 1, 4), np.uint8), SIZE[1], 1)
    stored = (np.linspace(3000, 64000, SIZE[0])[:, None] + rng.integers(0, 999, SIZE[1])).astype(np.uint16)
    stored[0] = 65280
    stored[1:10] = 0
    return picture, stored


def trajectory(root, folder, count, first=0):
    """Frames of one folder; returns stored depth by sample id."""
    stored = {}
    (root / folder).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        picture, depth = frame(first + number)
        cv2.imwrite(str(root / folder / f"FrameBuffer_{number:04d}.png"), picture[..., [2, 1, 0, 3]])
        cv2.imwrite(str(root / folder / f"Depth_{number:04d}.png"), depth)
        stored[f"{folder}/FrameBuffer_{number:04d}"] = depth
    return stored


def make(root, train=2, val=2, test=2, names=("S1", "S4", "S5")):
    """A trajectory of each split; returns stored depth by sample id."""
    stored = {}
    for name, count in zip(names, (train, val, test), strict=True):
        if count:
            stored.update(trajectory(root, f"{SCENES[name[0]]}/Frames_{name}", count, len(stored)))
    return stored
