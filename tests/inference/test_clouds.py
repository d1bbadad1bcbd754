import io
import sys

import numpy as np
import pytest
from plyfile import PlyData

from tr2m_plugin.errors import InputError, MissingExtraError
from tr2m_plugin.inference import clouds
from tr2m_plugin.inference.camera import Intrinsics
from tr2m_plugin.inference.clouds import EDGE, Cloud, back_project, find_edges, make_glb, write_ply

CAMERA = Intrinsics(150.0, 140.0, 83.5, 40.25)
SIZE = (121, 173)
GROUND, WALL = 1.5, 6.0


def room(size=SIZE, camera=CAMERA):
    """Depth of a ground 1.5 m below the camera that ends at a wall 6 m away, with a box 3 m away in front of it."""
    v, u = np.indices(size)
    with np.errstate(divide="ignore"):
        ground = np.where(v > camera.cy, GROUND * camera.fy / (v - camera.cy), np.inf)
    depth = np.minimum(ground, WALL)
    box = (u > 60) & (u < 110) & (v > 30) & (depth > 3)
    return np.where(box, 3.0, depth).astype(np.float32), box


@pytest.fixture
def colors():
    return np.random.default_rng(1).integers(0, 255, (*SIZE, 3), np.uint8)


def opened(path):
    cloud = PlyData.read(str(path))
    assert cloud.comments == ["unit: m; x to the right, y down, z forward from the camera"]
    return np.stack([cloud["vertex"][axis] for axis in "xyz"], -1), cloud["vertex"]


def test_a_room_is_measured_in_its_cloud(tmp_path, colors):
    depth, box = room()
    kept = Cloud().keeps(depth, SIZE)
    write_ply(tmp_path / "a.ply", depth, colors, CAMERA, kept)
    points, vertices = opened(tmp_path / "a.ply")
    assert len(points) == kept.sum() < depth.size
    assert vertices["green"].tolist() == colors[kept][:, 1].tolist()
    is_box, is_wall = box[kept], np.isclose(points[:, 2], WALL)
    ground = ~is_box & ~is_wall
    np.testing.assert_allclose(points[ground][:, 1], GROUND, rtol=1e-5)
    assert ground.sum() > 5000
    width = points[is_box][:, 0].max() - points[is_box][:, 0].min()
    assert width == pytest.approx(48 / CAMERA.fx * 3, rel=1e-5), "from the first of 49 pixels to the last"
    assert (points[~is_wall & ~ground][:, 2] == 3).all()


def test_rows_are_written_as_they_come(tmp_path, colors, monkeypatch):
    depth, _ = room()
    monkeypatch.setattr(clouds, "ROWS", 50)
    write_ply(tmp_path / "a.ply", depth, colors, CAMERA, np.ones(SIZE, bool))
    points, _ = opened(tmp_path / "a.ply")
    np.testing.assert_array_equal(points.reshape(*SIZE, 3), back_project(depth, CAMERA))


def slow_edges(depth, step):
    """Pixels of which one that is a step away is nearer or farther by more than the threshold."""
    found = np.zeros(depth.shape, bool)
    for v, u in np.ndindex(depth.shape):
        for dv, du in ((step[0], 0), (-step[0], 0), (0, step[1]), (0, -step[1])):
            if 0 <= v + dv < depth.shape[0] and 0 <= u + du < depth.shape[1]:
                one, other = sorted((float(depth[v, u]), float(depth[v + dv, u + du])))
                found[v, u] |= other - one > EDGE * one
    return found


@pytest.mark.parametrize("step", [(1, 1), (2, 3), (20, 1)])
def test_edges_equal_their_twin(step):
    depth = np.random.default_rng(0).uniform(2, 2.2, (13, 11)).astype(np.float32)
    found = find_edges(depth, step)
    assert 0 < found.sum() < depth.size
    np.testing.assert_array_equal(found, slow_edges(depth, step))


def test_what_flies_between_near_and_far_is_left_out():
    """The network's map is enlarged four times, so that an edge becomes a ramp of four pixels."""
    depth = np.repeat(np.interp(np.arange(80), [38, 42], [2, 4])[None], 60, 0).astype(np.float32)
    flying = (depth > 2.01) & (depth < 3.99)
    assert flying.sum() == 3 * 60
    assert not (Cloud().keeps(depth, (15, 20)) & flying).any()
    assert Cloud(keep_edges=True).keeps(depth, (15, 20)).all()


def test_depth_that_is_none_or_too_far_is_no_point():
    depth = np.array([[1.0, 0.0], [np.nan, 5.0]], np.float32)
    kept = Cloud(keep_edges=True, max_depth=4).keeps(depth, (2, 2))
    assert kept.tolist() == [[True, False], [False, False]]
    assert Cloud(keep_edges=True, max_depth=4).facts(kept) == {"unit": "m", "points": 1, "edge": None, "max_depth": 4}


def mesh_of(content):
    import trimesh

    (mesh,) = trimesh.load(io.BytesIO(content), file_type="glb").geometry.values()
    return mesh


def test_a_room_is_measured_in_its_mesh(colors):
    depth, _ = room()
    kept = Cloud().keeps(depth, SIZE)
    mesh = mesh_of(make_glb(depth, colors, CAMERA, kept))
    x, y, z = mesh.vertices.T
    ground = (z > -WALL + 1e-3) & ~np.isclose(z, -3)
    np.testing.assert_allclose(y[ground], -GROUND, rtol=1e-5)
    assert z.min() == pytest.approx(-WALL)
    assert mesh.triangles_center[:, 2].max() < 0
    seen = np.einsum("ij,ij->i", mesh.face_normals, -mesh.triangles_center)
    assert (seen > 0).all(), "fronts face the camera"
    u, v = x / -z * CAMERA.fx + CAMERA.cx, -y / -z * CAMERA.fy + CAMERA.cy
    where = mesh.visual.uv  # from below
    np.testing.assert_allclose(where[:, 0] * SIZE[1] - 0.5, u, atol=1e-2)
    np.testing.assert_allclose((1 - where[:, 1]) * SIZE[0] - 0.5, v, atol=1e-2)
    texture = np.asarray(mesh.visual.material.baseColorTexture)
    np.testing.assert_array_equal(texture[..., :3], colors)
    longest = np.linalg.norm(np.diff(mesh.triangles[:, [0, 1, 2, 0]], axis=1), axis=2).max()
    assert longest < 1, "no face bridges the box and the wall behind it"


def test_a_large_picture_has_a_coarser_mesh(colors, monkeypatch):
    depth, _ = room()
    monkeypatch.setattr(clouds, "CORNERS", 2000)
    monkeypatch.setattr(clouds, "TEXTURE", 100)
    kept = np.ones(SIZE, bool)
    mesh = mesh_of(make_glb(depth, colors, CAMERA, kept))
    assert 1800 < len(mesh.vertices) < 2200
    assert mesh.visual.material.baseColorTexture.size == (100, 70)
    whole = mesh.vertices
    assert (whole[:, 0] / -whole[:, 2]).max() == pytest.approx((SIZE[1] - 1 - CAMERA.cx) / CAMERA.fx), "to the corner"
    kept[41, 51] = False
    assert len(mesh_of(make_glb(depth, colors, CAMERA, kept)).faces) == len(mesh.faces) - 2, "also between corners"
    with pytest.raises(InputError, match="no surface is left"):
        make_glb(depth, colors, CAMERA, np.zeros(SIZE, bool))


def test_what_is_asked_for_needs_a_camera():
    read = Intrinsics(1, 1, 0, 0, "EXIF: 26 mm on 35 mm film")
    assert [Cloud().wanted(camera, "a") for camera in (None, read, CAMERA)] == [[], [], ["ply"]]
    assert Cloud(["glb", "glb", "ply"]).wanted(read, "a") == ["glb", "ply"]
    assert Cloud([]).wanted(CAMERA, "a") == []
    with pytest.raises(InputError, match=r"a: no camera is known, .* give its field of view"):
        Cloud(["ply"]).wanted(None, "a")


def test_options_are_checked(monkeypatch):
    for wrong in ("ply", ["obj"]):
        with pytest.raises(InputError, match="a cloud's files are a list of ply and glb"):
            Cloud(wrong)
    for depth in (0, -1, float("nan")):
        with pytest.raises(InputError, match="max_depth is a number of metres above 0"):
            Cloud(max_depth=depth)
    monkeypatch.setitem(sys.modules, "trimesh", None)
    with pytest.raises(MissingExtraError, match=r"trimesh is not installed.*pip install 'tr2m_plugin\[mesh\]'"):
        Cloud(["glb"])
