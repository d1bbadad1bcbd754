"""A small C3VD in the formats of its publisher and of the undistorted set."""

import cv2
import numpy as np

SIZE = (1080, 1350)


def frame(seed):
    """A picture and stored depth, uint16 with both clipped values."""
    rng = np.random.default_rng(seed)
    picture = np.broadcast_to(rng.integers(0, 255, (SIZE[0], 1, 3), np.uint8), (*SIZE, 3)).copy()
    stored = (np.linspace(2000, 60000, SIZE[0])[:, None] + rng.integers(0, 999, SIZE[1])).astype(np.uint16)
    stored[:10] = 0
    stored[-10:, :20] = 65535
    return picture, stored


def make(root, train=2, test=2, videos=("cecum_t1_b", "cecum_t1_a"), ending="", number="{:04d}", apart=False, start=0):
    """Frames of a video to train on and of one to test on; returns stored depth by sample id.

    Args:
        ending: ending of the folders' names; `_under_review` before 2023-10-14.
        number: how pictures write theirs; depth always pads it.
        apart: pictures in `images`, depth in `depths`, as in the undistorted set.
        start: number of the first frame.
    """
    stored = {}
    for video, count in zip(videos, (train, test), strict=True):
        folders = [root / f"{video}{ending}" / below for below in (("images", "depths") if apart else ("", ""))]
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        for index in range(start, start + count):
            written = number.format(index)
            picture, depth = frame(len(stored))
            cv2.imwrite(str(folders[0] / f"{written}_color.png"), picture[..., ::-1])
            cv2.imwrite(str(folders[1] / f"{index:04d}_depth.tiff"), depth)
            stored[f"{video}/{written}"] = depth
    return stored
