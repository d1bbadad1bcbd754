"""Every shape's depth against an answer worked out by hand or by a slow, obvious search in float64."""

import numpy as np
import pytest

from pipelines.mini_world.camera import Camera
from pipelines.mini_world.scene import Scene
from pipelines.mini_world.shapes import Box, Cylinder, Ellipsoid, Plane, Tube

CAMERA = Camera(position=(0.1, 1.5, -0.2), pitch=-0.25, yaw=0.2)


def middle(camera):
    """The pixel nearest the optical axis and how far off it its ray is."""
    row, column = camera.height // 2, camera.width // 2
    return row, column, camera.rays[:, row, column].astype(np.float64)


def march(inside, origin, ray, far=30.0, steps=60_000):
    """First point along a ray where `inside` turns true."""
    t = np.linspace(0, far, steps)
    hits = inside(origin[:, None] + t * ray[:, None])
    return t[np.argmax(hits)] if hits.any() else np.inf


def sampled_pixels(rng, count=60):
    return zip(rng.integers(0, 112, count), rng.integers(0, 140, count), strict=True)


def in_box(box, p):
    x, y, z = p - np.array(box.center)[:, None]
    cos, sin = np.cos(box.yaw), np.sin(box.yaw)
    own = np.stack([cos * x - sin * z, y, sin * x + cos * z])
    return (np.abs(own) <= np.array(box.half)[:, None]).all(0)


def in_ellipsoid(shape, p):
    return (((p - np.array(shape.center)[:, None]) / np.array(shape.radii)[:, None]) ** 2).sum(0) <= 1


def in_cylinder(shape, p):
    near = (p[0] - shape.x) ** 2 + (p[2] - shape.z) ** 2 <= shape.radius**2
    return near & (p[1] >= shape.bottom) & (p[1] <= shape.top)


SOLIDS = [
    (Box((0.5, 0.6, 4.0), (0.8, 0.6, 0.5), 0.6), in_box),
    (Box((0.0, 1.0, 3.0), (1.0, 0.4, 0.7)), in_box),
    (Ellipsoid((0.6, 0.8, 4.0), (0.7, 0.7, 0.7)), in_ellipsoid),
    (Ellipsoid((0.2, 0.9, 5.0), (1.0, 0.4, 0.8)), in_ellipsoid),
    (Cylinder(0.7, 4.0, 0.6, 0.0, 1.0), in_cylinder),  # its lid is below the camera
    (Cylinder(0.7, 4.0, 0.4, 0.2, 2.6), in_cylinder),  # its lid is above
]


@pytest.mark.parametrize(("shape", "inside"), SOLIDS, ids=lambda v: type(v).__name__ if not callable(v) else "")
def test_solids_agree_with_a_march_along_the_ray(shape, inside):
    depth, _ = shape.intersect(CAMERA.origin, CAMERA.rays)
    assert np.isfinite(depth).sum() > 300
    for row, column in [*sampled_pixels(np.random.default_rng(0)), *np.argwhere(np.isfinite(depth))[::97]]:
        ray = CAMERA.rays[:, row, column].astype(np.float64)
        expected = march(lambda p: inside(shape, p), CAMERA.origin.astype(np.float64), ray)
        near_edge = np.isfinite(expected) != np.isfinite(depth[row, column])
        if near_edge:  # a ray that grazes the silhouette may fall on either side
            around = depth[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            assert np.isfinite(around).any()
            assert not np.isfinite(around).all()
        else:
            np.testing.assert_allclose(depth[row, column], expected, atol=2e-3)


@pytest.mark.parametrize(("shape", "inside"), SOLIDS, ids=lambda v: type(v).__name__ if not callable(v) else "")
def test_bounds_hold_the_solid(shape, inside):
    low, high = shape.bounds()
    points = np.random.default_rng(0).uniform(low - 0.5, high + 0.5, (20_000, 3)).T
    held = points[:, inside(shape, points)]
    assert held.shape[1] > 100
    assert (held >= low[:, None] - 1e-6).all()
    assert (held <= high[:, None] + 1e-6).all()


def test_sphere_on_the_axis_has_its_closed_form_depth():
    camera = Camera()
    row, column, ray = middle(camera)
    depth, normal = Ellipsoid((0, 0, 5), (1, 1, 1)).intersect(camera.origin, camera.rays)
    along = ray @ ray
    expected = (5 - np.sqrt(25 - along * 24)) / along
    np.testing.assert_allclose(depth[row, column], expected, rtol=1e-5)
    np.testing.assert_allclose(normal[:, row, column], [0, 0, -1], atol=0.05)


def test_plane_depth_is_height_over_slope_and_seen_from_its_front_only():
    depth, normal = Plane(1, 0.0).intersect(CAMERA.origin, CAMERA.rays)
    down = CAMERA.rays[1] < 0
    np.testing.assert_allclose(depth[down], -1.5 / CAMERA.rays[1][down], rtol=1e-5)
    assert np.isinf(depth[~down]).all()
    assert (normal[1] == 1).all()
    assert np.isinf(Plane(1, 0.0, facing=-1).intersect(CAMERA.origin, CAMERA.rays)[0]).all()


def test_straight_tube_is_a_cylinder_closed_at_its_end():
    camera = Camera(focal=84.0)
    tube = Tube(radius=20.0, length=50.0, offset=(3.0, -2.0))
    depth, normal = tube.intersect(camera.origin, camera.rays)
    x, y = camera.rays[0].astype(np.float64), camera.rays[1].astype(np.float64)
    a, b, c = x * x + y * y, -(3 * x - 2 * y), 9 + 4 - 400
    wall = (-b + np.sqrt(b * b - a * c)) / a
    np.testing.assert_allclose(depth, np.minimum(wall, 50.0), rtol=1e-4)
    on_wall = wall < 49
    centre = np.stack([depth * x - 3, depth * y + 2])
    np.testing.assert_allclose(normal[:2, on_wall], -centre[:, on_wall] / 20, atol=0.02)
    np.testing.assert_allclose(normal[2, ~on_wall & (wall > 51)], -1)


def test_bent_folded_tube_agrees_with_a_march_along_the_ray():
    camera = Camera(focal=84.0)
    tube = Tube(20.0, 55.0, (4.0, -3.0), (0.1, -0.15), (1e-3, 2e-3), 0.2, 14.0, 0.7, 1.1)

    def outside(p):
        x, y = (o + s * p[2] + b * p[2] ** 2 for o, s, b in zip(tube.offset, tube.slope, tube.bend, strict=True))
        fold = np.abs(np.sin(np.pi / 14.0 * p[2] + 0.7))
        return np.hypot(p[0] - x, (p[1] - y) / 1.1) - 20 * (1 + 0.2 * (fold - 1))

    depth, _ = tube.intersect(camera.origin, camera.rays)
    points = depth.astype(np.float64) * camera.rays
    assert np.abs(outside(points)[depth < 55]).max() < 0.02  # on the wall, everywhere
    wrong = 0
    for row, column in sampled_pixels(np.random.default_rng(1), 200):
        ray = camera.rays[:, row, column].astype(np.float64)
        expected = march(lambda p: outside(p) > 0, np.zeros(3), ray, far=55.0)
        wrong += abs(depth[row, column] - min(expected, 55.0)) > 0.05
    assert wrong <= 10  # rays that graze a crest thinner than a step pass it


def test_the_nearest_surface_wins_and_carries_its_label():
    scene = Scene(Camera(position=(0, 1, 0)))
    far = scene.add("wall", [(Plane(2, 6.0, -1), None)])
    near = scene.add("ball", [(Ellipsoid((0, 1, 3), (0.5, 0.5, 0.5)), None)])
    view = scene.view()
    row, column, _ = middle(scene.camera)
    assert view.instance[row, column] == near
    assert view.depth[row, column] == pytest.approx(2.5, rel=1e-3)
    assert view.instance[0, 0] == far
    assert view.depth[0, 0] == pytest.approx(6.0)
    assert scene.names == ["wall", "ball"]
