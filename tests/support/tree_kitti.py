"""A small KITTI in the formats of its publisher and of BTS."""

import cv2
import numpy as np

DRIVES = {
    "train": (
        ("2011_09_26_drive_0057_sync", (375, 1242), 721.5377),
        ("2011_10_03_drive_0042_sync", (376, 1241), 718.856),
    ),
    "test": (
        ("2011_09_26_drive_0002_sync", (375, 1242), 721.5377),
        ("2011_09_30_drive_0016_sync", (370, 1226), 707.0912),
    ),
}
"""Name, height and width, focal length; pictures of a split are taken from its drives in turn."""
ANNOTATED = {"2011_09_26_drive_0002_sync": "val", "2011_09_30_drive_0016_sync": "val"}
"""Where data_depth_annotated.zip has a drive, if not in train."""


def scene(seed, size):
    """A picture and sparse stored depth, uint16, 0 in the upper third and in most pixels below."""
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 255, (*size, 3), np.uint8)
    stored = rng.integers(2 * 256, 80 * 256, size).astype(np.uint16)
    stored[rng.random(size) < 0.8] = 0
    stored[: size[0] // 3] = 0
    return picture, stored


def make(root, train=2, test=2, none=1, pictures="raw", depths="gts", merged=True, dates=False, slash=""):
    """Raw pictures and annotated depth with their lists; returns stored depth by sample id.

    As published: the test list has lines without ground truth, `none` of them, and no final newline.

    Args:
        merged: drives of the ground truth are in one folder, as the lists expect; else in `train` and `val`.
        dates: in one folder by date.
        slash: what listed paths begin with.
    """
    stored = {}
    root.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", train), ("test", test)):
        lines = []
        for number in range(count + none * (split == "test")):
            drive, size, focal = DRIVES[split][number % 2]
            sample = f"{drive[:10]}/{drive}/image_02/data/{number * 3:010d}"
            truth = f"{drive}/proj_depth/groundtruth/image_02/{number * 3:010d}.png"
            picture, depth = scene(number + 100 * (split == "test"), size)
            write(root / pictures / f"{sample}.png", picture[..., ::-1])
            if number < count:
                stored[sample] = depth
                above = "" if merged else ANNOTATED.get(drive, "train")
                write(root / depths / (drive[:10] if dates else above) / truth, depth)
            lines.append(f"{slash}{sample}.png {slash + truth if number < count else None} {focal}")
        (root / f"eigen_{split}_files_with_gt.txt").write_text("\n".join(lines) + "\n" * (split == "train"))
    return stored


def write(path, pixels):
    """A PNG and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels)
