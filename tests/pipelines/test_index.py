from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines import index
from pipelines.params import Stage
from tr2m_plugin.datasets.parquet import columns_of, read_rows, read_table
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import ErrorRow, IndexRow


def run(root, *datasets):
    index.stage(Stage("test", {"datasets": list(datasets)}, root))
    return read_rows(root / "index.parquet", IndexRow)


def test_the_world_and_a_folder_in_one_table(world, tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    cv2.imwrite(str(pictures / "a.jpg"), np.zeros((4, 6, 3), np.uint8))
    (tmp_path / "world").symlink_to(world / "world")
    rows = run(tmp_path, {"type": "MiniWorld"}, {"type": "RGBDFolder", "root": str(pictures), "image": "*.jpg"})
    assert len(rows) == 34
    assert rows[0].image.startswith("world/rooms-train")
    assert rows[-1].image == str(pictures / "a.jpg")


@pytest.fixture
def folder(tmp_path):
    """Twelve pairs in a folder: depth of 1000 to 5000 mm, and holes; and the entry that reads it."""
    root = tmp_path / "mine"
    root.mkdir()
    rng = np.random.default_rng(0)
    for number in range(12):
        cv2.imwrite(str(root / f"{number:02d}_rgb.png"), np.zeros((20, 30, 3), np.uint8))
        depth = rng.integers(1000, 5000, (20, 30)).astype(np.uint16)
        depth[:5] = 0
        cv2.imwrite(str(root / f"{number:02d}_depth.png"), depth)
    names = {"image": "*_rgb.png", "depth": "*_depth.png"}
    return {
        "type": "RGBDFolder",
        "root": str(root),
        **names,
        "depth_scale": 0.001,
        "unit": "m",
        "depth_range": [0.3, 10],
    }


def cut(folder, number):
    path = Path(folder["root"]) / f"{number:02d}_depth.png"
    path.write_bytes(path.read_bytes()[:60])


def test_depth_that_cannot_be_read_is_left_out_with_its_reason(tmp_path, folder, capsys):
    cut(folder, 0)  # the first pair
    cv2.imwrite(str(Path(folder["root"]) / "07_depth.png"), np.ones((4, 4), np.uint16))
    rows = run(tmp_path, folder)
    assert len(rows) == 10
    assert not {"00", "07"} & {row.sample_id for row in rows}
    first, second = read_table(tmp_path / "index_errors.parquet", columns_of(ErrorRow))
    assert (first["dataset"], first["sample_id"], second["sample_id"]) == ("mine", "00", "07")
    assert "00_depth.png is not a depth map" in first["reason"]
    assert "07_depth.png is 4 × 4 and its picture 20 × 30" in second["reason"]
    out, err = capsys.readouterr()
    assert "index: mine: 10 depth maps decoded, 75.0% of their pixels count" in out
    assert "mine/00 is left out" in err


def test_too_much_depth_that_cannot_be_read_is_refused_and_listed(tmp_path, folder):
    for number in range(3):
        cut(folder, number)
    with pytest.raises(InputError, match=r"3 of 12 pairs of mine cannot be used, more than max_error_share 0.2; "):
        run(tmp_path, folder)
    assert len(read_table(tmp_path / "index_errors.parquet", columns_of(ErrorRow))) == 3
    index.stage(Stage("test", {"datasets": [folder], "max_error_share": 0.25}, tmp_path))
    assert len(read_rows(tmp_path / "index.parquet", IndexRow)) == 9


@pytest.mark.parametrize(
    ("scale", "limits", "hint"),
    [
        (1.0, [0.3, 10], r"did you mean depth_scale 0.001, which makes it 3"),
        (1e-6, [0.3, 10], r"did you mean depth_scale 0.001, which makes it 3"),
        (0.001, [5, 20], r"did you mean depth_scale 0.00390625, which makes it 12"),
        (0.001, [1e6, 1e7], r"did you mean depth_scale 1000, which makes it"),
        (0.001, [1e9, 2e9], r"correct depth_scale, unit or depth_range"),
    ],
)
def test_depth_of_which_nothing_is_in_range_is_refused(tmp_path, folder, scale, limits, hint):
    line = r"mine: no pixel of the 12 depth maps looked at is in the range .*: the median stored number is 3\d\d\d.*; "
    with pytest.raises(InputError, match=f"{line}{hint}"):
        run(tmp_path, {**folder, "depth_scale": scale, "depth_range": limits})


def test_depth_without_a_measurement_is_refused(tmp_path, folder):
    for path in Path(folder["root"]).glob("*_depth.png"):
        cv2.imwrite(str(path), np.zeros((20, 30), np.uint16))
    with pytest.raises(InputError, match="none of the 12 depth maps looked at has a measurement"):
        run(tmp_path, folder)


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
