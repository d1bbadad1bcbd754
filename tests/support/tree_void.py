"""A small VOID-1500 in the format of its publisher."""

import cv2
import numpy as np

from tests.support.tree_nyu import scene

SEQUENCES = {"train": "mechanical_lab1", "test": "desktop2"}
MATRIX = ((514.638, 0, 315.267), (0, 518.858, 247.358), (0, 0, 1))


def make(root, train=2, test=2, camera=True):
    """The folder `void_1500` with its lists, below root (`void_release`); returns stored depth by sample id."""
    stored = {}
    home = root / "void_1500"
    home.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", train), ("test", test)):
        sequence = home / "data" / SEQUENCES[split]
        names = {"image": [], "ground_truth": []}
        for number in range(count):
            stamp = f"15526252{95 + number}.{7828 + 500 * number:04d}"
            sample = f"void_1500/data/{SEQUENCES[split]}/image/{stamp}"
            picture, stored[sample] = scene(len(stored), largest=6 * 256)
            for kind, pixels in (("image", picture[..., ::-1]), ("ground_truth", stored[sample])):
                (sequence / kind).mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(sequence / kind / f"{stamp}.png"), pixels)
                names[kind].append(f"void_1500/data/{SEQUENCES[split]}/{kind}/{stamp}.png")
        for kind, listed in names.items():
            (home / f"{split}_{kind}.txt").write_text("".join(f"{name}\n" for name in listed))
        if camera and count:
            np.savetxt(sequence / "K.txt", MATRIX)
    return stored
