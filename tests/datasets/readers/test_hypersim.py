import math
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.support import tree_hypersim
from tr2m_plugin.benchmark.verify import verify_dataset
from tr2m_plugin.datasets.readers import load_depth, load_picture
from tr2m_plugin.datasets.readers.hypersim import HyperSim, _intrinsics
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import IndexRow

CSV = "metadata_images_split_scene_v1.csv"
SAMPLES = [
    ("ai_001_001/images/scene_cam_00_final_preview/frame.0000.tonemap", "train"),
    ("ai_003_001/images/scene_cam_00_final_preview/frame.0000.tonemap", "val"),
    ("ai_001_010/images/scene_cam_00_final_preview/frame.0000.tonemap", "test"),
    ("ai_001_010/images/scene_cam_01_final_preview/frame.0017.tonemap", "test"),
]


def listed(reader):
    return [(row.sample_id, row.split) for row in reader.index()]


def planar(distance, y, x):
    """Planar depth of a pixel, from the formula."""
    u, v, f = x - 511.5, y - 383.5, 886.81
    return float(distance) * f / math.sqrt(u * u + v * v + f * f)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_distance_becomes_planar_depth(tmp_path, dtype):
    stored = tree_hypersim.make(tmp_path, dtype=dtype)
    rows = HyperSim(str(tmp_path)).index()
    assert all(isinstance(row, IndexRow) for row in rows)
    assert [getattr(rows[0], name) for name in ("fx", "fy", "cx", "cy")] == [886.81, 886.81, 511.5, 383.5]
    assert (rows[0].unit, rows[0].domain) == ("m", "indoor")
    for row in rows:
        depth, distance = load_depth(row), stored[row.sample_id]
        assert depth.dtype == np.float32
        for y, x in ((0, 0), (0, 1023), (767, 0), (767, 1023), (383, 511), (384, 512), (100, 900), (700, 200)):
            assert depth[y, x] == pytest.approx(planar(distance[y, x], y, x), rel=1e-6)
        assert np.isnan(distance).sum() == (depth == 0).sum() == 100
        assert (depth[np.isnan(distance)] == 0).all()
        assert load_picture(row).shape == (768, 1024, 3)


def test_partitions_of_the_published_table(tmp_path):
    tree_hypersim.make(tmp_path)
    assert listed(HyperSim(str(tmp_path))) == SAMPLES, "not what was withdrawn, nor scenes that are not there"
    assert listed(HyperSim(str(tmp_path), splits=["val", "test"])) == SAMPLES[1:]
    (tmp_path / "evermotion_dataset/analysis").mkdir(parents=True)
    table = (tmp_path / CSV).rename(tmp_path / "evermotion_dataset/analysis" / CSV)
    assert listed(HyperSim(str(tmp_path))) == SAMPLES
    table.rename(tmp_path / "mine.csv")
    assert listed(HyperSim(str(tmp_path), split_csv="mine.csv")) == SAMPLES
    shutil.rmtree(tmp_path / "ai_001_001")
    assert listed(HyperSim(str(tmp_path), split_csv="mine.csv")) == SAMPLES[1:]


@pytest.mark.parametrize("folder", [".", "data"])
def test_without_the_table_all_that_is_there_is_the_test_split(tmp_path, folder):
    tree_hypersim.make(tmp_path / folder, table=False)
    assert listed(HyperSim(str(tmp_path))) == [(sample, "test") for sample, _ in sorted(SAMPLES)]
    assert len(listed(HyperSim(str(tmp_path), splits=["test"]))) == 4
    with pytest.raises(InputError, match=rf"has no {CSV}, which tells train, val, test apart"):
        HyperSim(str(tmp_path), splits=["val", "test"]).index()


def test_a_half_unpacked_scene_names_the_first_file_and_the_number(tmp_path):
    tree_hypersim.make(tmp_path)
    (tmp_path / "ai_001_010/images/scene_cam_01_geometry_hdf5/frame.0017.depth_meters.hdf5").unlink()
    for table in (True, False):
        with pytest.raises(
            InputError, match=r"cam_01_geometry_hdf5/frame.0017.depth_meters.hdf5 does not exist; 1 file"
        ):
            HyperSim(str(tmp_path)).index()
        if table:
            (tmp_path / CSV).unlink()


def test_errors_name_file_expectation_and_finding(tmp_path):
    with pytest.raises(InputError, match=r"holds no picture of HyperSim: Apple"):
        HyperSim(str(tmp_path)).index()
    tree_hypersim.make(tmp_path, train=0, val=0, test=1)
    (row,) = HyperSim(str(tmp_path)).index()
    path, whole = Path(row.depth), Path(row.depth).read_bytes()
    for broken in (b"no HDF5", whole[: len(whole) // 2]):
        path.write_bytes(broken)
        with pytest.raises(InputError, match=r"frame.0000.depth_meters.hdf5 is not a whole HDF5 file"):
            load_depth(row)
    for name, array, message in (
        ("depth", np.ones((768, 1024), np.float16), r"hdf5 has no array 'dataset', only depth"),
        (
            "dataset",
            np.ones((384, 512), np.float16),
            r"hdf5 should be 768 × 1024 float16 or float32 and is 384 × 512 float16",
        ),
        (
            "dataset",
            np.ones((768, 1024), np.int32),
            r"hdf5 should be 768 × 1024 float16 or float32 and is 768 × 1024 int32",
        ),
    ):
        with h5py.File(path, "w") as file:
            file[name] = array
        with pytest.raises(InputError, match=message):
            load_depth(row)
    path.unlink()
    with pytest.raises(InputError, match=r"frame.0000.depth_meters.hdf5 does not exist"):
        load_depth(row)


def test_a_table_of_something_else(tmp_path):
    tree_hypersim.make(tmp_path, train=0, val=0, test=1)
    (tmp_path / CSV).write_text("scene_name,frame_id\nai_001_010,0\n")
    with pytest.raises(
        InputError, match=rf"{CSV} has no column camera_name, included_in_.*, split_partition_name: is it"
    ):
        HyperSim(str(tmp_path)).index()
    (tmp_path / CSV).write_text(f"{tree_hypersim.HEADER}\nai_001_010,cam_00,first,True,,test\n")
    with pytest.raises(InputError, match=rf"{CSV}, line 2: 'first' of 'test' is no frame of a split"):
        HyperSim(str(tmp_path)).index()
    with pytest.raises(InputError, match=r"mine.csv does not exist"):
        HyperSim(str(tmp_path), split_csv="mine.csv").index()


# A camera that is shifted and tilted, unlike the publisher's usual one.
PINHOLE = (0.577350288616909, 0.0, 0.0, 0.0, 0.4330127164626828, 0.0, 0.0, 0.0, -1.0)
TILTED = (0.57, 0.0, 0.02, 0.0, 0.44, -0.03, 0.0, 0.08, -1.0032)


def write_cameras(root, cameras):
    columns = ["scene_name", *(f"M_cam_from_uv_{row}{column}" for row in range(3) for column in range(3)), "other"]
    lines = [",".join(columns), *(",".join([scene, *map(str, m), "x"]) for scene, m in cameras.items())]
    (root / "metadata_camera_parameters.csv").write_text("\n".join(lines))


def test_exact_planar_depth_by_the_scenes_own_camera(tmp_path):
    stored = tree_hypersim.make(tmp_path, train=0, val=1, test=1)
    with pytest.raises(InputError, match=r"has no metadata_camera_parameters.csv, which exact planar depth needs"):
        HyperSim(str(tmp_path), planar="exact").index()
    write_cameras(tmp_path, {"ai_003_001": PINHOLE})
    with pytest.raises(InputError, match=r"has no line of ai_001_010"):
        HyperSim(str(tmp_path), planar="exact").index()
    write_cameras(tmp_path, {"ai_003_001": PINHOLE, "ai_001_010": TILTED})
    usual, tilted = HyperSim(str(tmp_path), planar="exact").index()
    np.testing.assert_allclose(
        [getattr(usual, name) for name in ("fx", "fy", "cx", "cy")], [886.81, 886.81, 511.5, 383.5], 1e-5
    )
    assert (tilted.fx, tilted.fy, tilted.cx, tilted.cy) == (None,) * 4
    focal = HyperSim(str(tmp_path)).index()
    np.testing.assert_allclose(load_depth(usual), load_depth(focal[0]), rtol=1e-5)
    depth, distance = load_depth(tilted), stored[tilted.sample_id]
    for y, x in ((0, 0), (0, 1023), (767, 5), (383, 511), (700, 200)):
        u, v = (x + 0.5) / 512 - 1, 1 - (y + 0.5) / 384
        point = (0.57 * u + 0.02, 0.44 * v - 0.03, 0.08 * v - 1.0032)
        expected = float(distance[y, x]) * -point[2] / math.sqrt(sum(part * part for part in point))
        assert depth[y, x] == pytest.approx(expected, rel=1e-6)
    assert abs(depth[767, 5] / load_depth(focal[1])[767, 5] - 1) > 0.01
    (tmp_path / "metadata_camera_parameters.csv").write_text("scene_name,M_cam_from_uv_00\n")
    with pytest.raises(InputError, match=r"has no column M_cam_from_uv_01, .*: is it the published metadata_camera"):
        HyperSim(str(tmp_path), planar="exact").index()
    with pytest.raises(InputError, match="planar must be focal or exact, not 'flat'"):
        HyperSim(str(tmp_path), planar="flat")


def test_intrinsics_of_a_camera_that_is_shifted():
    fx, fy, cx, cy = _intrinsics((0.5, 0.0, 0.1, 0.0, 0.375, -0.05, 0.0, 0.0, -1.0))
    assert (fx, fy) == (1024, 1024)
    # the axis, where x and y of the ray are 0: u = -0.2, v = 0.05 / 0.375
    assert cx == pytest.approx((-0.2 + 1) * 512 - 0.5)
    assert cy == pytest.approx((1 - 0.05 / 0.375) * 384 - 0.5)


def test_depth_that_the_publisher_lacks_is_left_out_with_a_word(tmp_path, capsys, monkeypatch):
    tree_hypersim.make(tmp_path)
    monkeypatch.setattr(HyperSim, "unpublished", frozenset({SAMPLES[3][0]}))
    last, first = (Path(HyperSim(str(tmp_path)).index()[number].depth) for number in (3, 2))
    last.unlink()
    assert listed(HyperSim(str(tmp_path))) == SAMPLES[:3]
    assert "HyperSim: 1 pictures are left out" in capsys.readouterr().err
    report = verify_dataset("hypersim", str(tmp_path))
    assert any(line.endswith("lacks files, which the publisher's archive lacks too") for line in report.lines)
    assert not any("files are not there" in line for line in report.lines)
    first.unlink()
    with pytest.raises(
        InputError, match=r"does not exist; 2 files .*, or leave out their pictures with `allow_missing"
    ):
        HyperSim(str(tmp_path)).index()
    assert listed(HyperSim(str(tmp_path), allow_missing=True)) == SAMPLES[:2]
    assert "2 pictures are left out, such as ai_001_010" in capsys.readouterr().err
    with pytest.raises(InputError, match="allow_missing must be true or false, not 'yes'"):
        HyperSim(str(tmp_path), allow_missing="yes")
