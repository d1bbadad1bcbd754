"""A small HyperSim in the format of its publisher."""

import cv2
import h5py
import numpy as np

from tests.support.tree_nyu import scene

SCENES = {"train": "ai_001_001", "val": "ai_003_001", "test": "ai_001_010"}
HEADER = "scene_name,camera_name,frame_id,included_in_public_release,exclude_reason,split_partition_name"


def make(root, train=1, val=1, test=2, table=True, dtype=np.float16):
    """A scene for every split, and the table of splits; returns distance to the optical centre by sample id.

    As published: distance in metres, NaN where there is no surface. The table has two rows more: of a picture that
    was withdrawn, and of a scene that is not there.
    """
    stored = {}
    root.mkdir(parents=True, exist_ok=True)
    lines = [HEADER, "ai_001_010,cam_00,36,False,CONTENT FLAGGED FOR REMOVAL,", "ai_055_010,cam_00,0,True,,test"]
    for split, count in (("train", train), ("val", val), ("test", test)):
        images = root / SCENES[split] / "images"
        for number in range(count):
            camera, frame = f"cam_{number % 2:02d}", 17 * number
            picture, depth = scene(len(stored), (768, 1024))
            distance = (depth / 1000).astype(dtype)
            distance[10:20, 30:40] = np.nan
            preview, geometry = images / f"scene_{camera}_final_preview", images / f"scene_{camera}_geometry_hdf5"
            preview.mkdir(parents=True, exist_ok=True)
            geometry.mkdir(exist_ok=True)
            cv2.imwrite(str(preview / f"frame.{frame:04d}.tonemap.jpg"), picture[..., ::-1])
            cv2.imwrite(str(preview / f"frame.{frame:04d}.color.jpg"), picture[..., ::-1])
            with h5py.File(geometry / f"frame.{frame:04d}.depth_meters.hdf5", "w") as file:
                file["dataset"] = distance
            stored[f"{SCENES[split]}/images/scene_{camera}_final_preview/frame.{frame:04d}.tonemap"] = distance
            lines.append(f"{SCENES[split]},{camera},{frame},True,,{split}")
    if table:
        (root / "metadata_images_split_scene_v1.csv").write_text("\n".join(lines) + "\n")
    return stored
