import numpy as np
import pytest

from pipelines.mini_world.camera import Camera
from pipelines.mini_world.materials import Material
from pipelines.mini_world.scene import Scene
from pipelines.mini_world.shading import Light, shade
from pipelines.mini_world.shapes import Plane


def wall_at(distance, **light):
    scene = Scene(Camera())
    scene.add("wall", [(Plane(2, distance, -1), Material((0.5, 0.5, 0.5), contrast=0.0))])
    options = {"direction": None, "ambient": 0.5, "grain": 0.0, **light}
    return shade(scene.view(), scene.camera, scene.materials, Light(**options), np.random.default_rng(0))


def test_carried_light_falls_off_with_absolute_distance():
    means = [wall_at(distance, reach=3.0).mean() for distance in (1.0, 3.0, 9.0)]
    assert means[0] > 1.3 * means[1] > 1.3 * means[2]


def test_haze_pales_what_is_far():
    near, far = wall_at(5.0, haze=50.0), wall_at(200.0, haze=50.0)
    assert far.mean() > near.mean()
    assert far[56, 70, 2] > far[56, 70, 0]


def test_the_sky_fills_what_no_ray_hits():
    scene = Scene(Camera())
    scene.add("floor", [(Plane(1, -1.0), Material((0.2, 0.2, 0.2)))])
    light = Light(sky=(0.1, 0.2, 0.9), grain=0.0)
    picture = shade(scene.view(), scene.camera, scene.materials, light, np.random.default_rng(0))
    assert picture[0, 0, 2] == pytest.approx(0.9 * 255, abs=1)
    assert picture[-1, 0, 2] < 100


def test_patterns_modulate_the_colour():
    scene = Scene(Camera(position=(0, 1, 0), pitch=-0.4))
    scene.add("floor", [(Plane(1, 0.0), Material((0.5, 0.5, 0.5), "checks", 4.0, 0.3))])
    light = Light(ambient=1.0, grain=0.0)
    picture = shade(scene.view(), scene.camera, scene.materials, light, np.random.default_rng(0))
    low, high = np.percentile(picture[80:], [5, 95])
    assert high / low == pytest.approx(1.3 / 0.7, rel=0.1)
