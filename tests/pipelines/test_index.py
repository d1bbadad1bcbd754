import cv2
import numpy as np
import pytest

from pipelines import index
from pipelines.params import Stage
from tr2m_plugin.datasets.tables import INDEX, read_table
from tr2m_plugin.errors import InputError


def run(root, *datasets):
    index.stage(Stage("test", {"datasets": list(datasets)}, root))
    return read_table(root / "index.parquet", INDEX)


def test_the_world_and_a_folder_in_one_table(world, tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    cv2.imwrite(str(pictures / "a.jpg"), np.zeros((4, 6, 3), np.uint8))
    (tmp_path / "world").symlink_to(world / "world")
    rows = run(tmp_path, {"type": "MiniWorld"}, {"type": "RGBDFolder", "root": str(pictures), "image": "*.jpg"})
    assert len(rows) == 34
    assert rows[0]["image"].startswith("world/rooms-train")
    assert rows[-1]["image"] == str(pictures / "a.jpg")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"type": "Moon"}, "type must be one of nyu, .*, RGBDFolder, not 'Moon'"),
        ({"type": "RGBDFolder", "rot": "x"}, "RGBDFolder: .*rot"),
        ({"type": "RGBDFolder", "root": "no", "image": "*.jpg"}, "no is not a folder"),
        ({"type": "MiniWorld", "a": 1}, "MiniWorld takes no options, not a"),
    ],
)
def test_wrong_entries_are_refused(tmp_path, entry, message):
    with pytest.raises(InputError, match=message):
        run(tmp_path, entry)
    assert not (tmp_path / "index.parquet").exists()


def test_no_dataset_and_the_same_one_twice(tmp_path, world):
    with pytest.raises(InputError, match="lists no dataset with pictures"):
        run(tmp_path)
    (tmp_path / "world").symlink_to(world / "world")
    with pytest.raises(InputError, match="the index lists rooms/train-000000 twice"):
        run(tmp_path, {"type": "MiniWorld"}, {"type": "MiniWorld"})
