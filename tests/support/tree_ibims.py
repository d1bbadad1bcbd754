"""A small iBims-1 in both formats of its publisher."""

import cv2
import numpy as np
from scipy.io import savemat

CAMERA = (559.2, 559.4, 312.6, 241.7)
UNUSABLE, TRANSPARENT = np.s_[20:40, 100:140], np.s_[200:210, :50]
"""What the two masks leave out."""


def scene(seed):
    """A picture, stored depth without a hole, uint16 up to 50 m, and the two masks."""
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 255, (480, 640, 3), np.uint8)
    stored = (np.linspace(1000, 65000, 480)[:, None] + rng.integers(0, 500, 640)).astype(np.uint16)
    masks = np.full((2, 480, 640), 255, np.uint8)
    masks[0][UNUSABLE] = 0
    masks[1][TRANSPARENT] = 0
    return picture, stored, masks


def make(root, test=2, below="ibims1_core_raw", listed="imagelist.txt"):
    """The raw archive; returns stored depth by sample id, 0 where a mask leaves it out.

    As published: names are in a list, here without a final newline.
    """
    stored = {}
    folder = root / below
    for kind in ("rgb", "depth", "mask_invalid", "mask_transp", "calib"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for number in range(1, test + 1):
        name = f"corridor_{number:02d}"
        picture, depth, masks = scene(number)
        files = {"rgb": picture[..., ::-1], "depth": depth, "mask_invalid": masks[0], "mask_transp": masks[1]}
        for kind, pixels in files.items():
            cv2.imwrite(str(folder / kind / f"{name}.png"), pixels)
        (folder / f"calib/{name}.txt").write_text(",".join(map(str, CAMERA)))
        stored[name] = np.where(masks.all(0), depth, 0)
    if listed:
        (root / listed).write_text("\n".join(stored))
    return stored


def make_mat(root, test=2, below="ibims1_core_mat"):
    """The archive of MATLAB files; returns depth in metres by sample id, 0 where a mask leaves it out or it is none."""
    metres = {}
    (root / below).mkdir(parents=True, exist_ok=True)
    fx, fy, cx, cy = CAMERA
    for number in range(1, test + 1):
        name = f"corridor_{number:02d}"
        picture, stored, masks = scene(number)
        depth = stored * 50.0 / 65535
        depth[:3] = 0
        depth[3:5] = np.nan
        data = {
            "rgb": picture,
            "depth": depth,
            "calib": np.array([[fx, 0, 0], [0, fy, 0], [cx, cy, 1]]),  # transposed, as MATLAB has it
            "mask_invalid": masks[0] // 255,
            "mask_transp": masks[1] // 255,
        }
        savemat(root / below / f"{name}.mat", {"data": data}, do_compression=True)
        metres[name] = np.where(masks.all(0), np.nan_to_num(depth), 0)
    return metres
