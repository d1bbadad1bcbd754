"""A small NYU Depth v2 in the formats of its publisher and of BTS."""

import cv2
import h5py
import numpy as np
from scipy.io import savemat

FOCAL = 518.8579


def scene(seed, size=(480, 640), largest=9000):
    """A picture and stored depth, uint16 with a hole."""
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 255, (*size, 3), np.uint8)
    rows = np.linspace(500, largest, size[0])[:, None] + rng.uniform(0, 100, size[1])
    stored = rows.astype(np.uint16)
    stored[10:20, 30:40] = 0
    return picture, stored


def make(root, train=2, test=2):
    """Folders `sync` and `official_splits/test` with their lists; returns stored depth by sample id.

    As published: train paths begin with a slash, the test list has no final newline.
    """
    stored = {}
    root.mkdir(parents=True, exist_ok=True)
    for split, count, folder, slash, kind in (
        ("train", train, "sync", "/", "kitchen_0028b"),
        ("test", test, "official_splits/test", "", "bathroom"),
    ):
        lines = []
        for number in range(count):
            image, depth = f"{kind}/rgb_{number:05d}", f"{kind}/sync_depth_{number:05d}"
            picture, stored[image] = scene(len(stored))
            path = root / folder / kind
            path.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(root / folder / f"{image}.jpg"), picture[..., ::-1])
            cv2.imwrite(str(root / folder / f"{depth}.png"), stored[image])
            lines.append(f"{slash}{image}.jpg {slash}{depth}.png {FOCAL}")
        (root / f"nyudepthv2_{split}_files_with_gt.txt").write_text("\n".join(lines) + "\n" * (split == "train"))
    return stored


def make_mat(root, count=3, tests=(1, 3)):
    """The labelled .mat (7.3) and splits.mat (5.0); returns pictures and raw depth in metres by position."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (count, 480, 640, 3), np.uint8)
    metres = rng.uniform(0.5, 9.5, (count, 480, 640)).astype(np.float32)
    metres[:, :5] = 0
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"] = pictures.transpose(0, 3, 2, 1)
        file["rawDepths"] = metres.transpose(0, 2, 1)
        file["depths"] = np.ones((count, 640, 480), np.float32)  # in-filled: not to be used
        names = file.create_dataset("sceneTypes", (1, count), h5py.ref_dtype)
        for number in range(count):
            file[f"#refs#/{number}"] = np.array([[ord(letter)] for letter in ("kitchen", "bathroom")[number % 2]], "u2")
            names[0, number] = file[f"#refs#/{number}"].ref
    train = [[n] for n in range(1, count + 1) if n not in tests]
    savemat(root / "splits.mat", {"trainNdxs": train, "testNdxs": [[n] for n in tests]})
    return pictures, metres
