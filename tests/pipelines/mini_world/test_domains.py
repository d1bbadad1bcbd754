import itertools

import numpy as np
import pytest

from pipelines.mini_world.domains import DOMAINS, lidar_mask, render, sample_rng
from pipelines.mini_world.rooms import HALLWAYS, ROOMS, WAREHOUSES
from pipelines.mini_world.streets import COUNTRY_ROADS, STREETS, TUNNELS


@pytest.mark.parametrize("name", DOMAINS)
def test_a_sample_is_whole_and_the_same_every_time(name):
    first, again = render(name, "test", 3), render(name, "test", 3)
    for field in ("image", "depth", "instance"):
        np.testing.assert_array_equal(getattr(first, field), getattr(again, field))
    assert first.image.shape == (112, 140, 3)
    assert first.image.dtype == np.uint8
    near, far = DOMAINS[name].depth_range
    measured = first.depth[first.depth > 0]
    assert measured.size > 500
    assert measured.min() >= near
    assert measured.max() <= far
    assert first.instance.max() < len(first.names)
    assert first.image.std() > 5


def test_no_two_pictures_share_a_random_stream():
    keys = itertools.product(DOMAINS, ("train", "val", "test"), range(5))
    draws = {tuple(sample_rng(*key).integers(0, 2**63, 2)) for key in keys}
    assert len(draws) == len(DOMAINS) * 3 * 5


def test_training_and_zero_shot_places_are_disjoint():
    trained = {*ROOMS, *STREETS}
    assert not trained & {*HALLWAYS, *WAREHOUSES, *TUNNELS, *COUNTRY_ROADS}


@pytest.mark.parametrize(("name", "ratio"), [("rooms", 6), ("streets", 8), ("colons", 2)])
def test_sizes_spread_evenly_in_log_scale(name, ratio):
    sizes = np.sort([np.log(render(name, "test", i).setting.extent) for i in range(60)])
    assert sizes[-1] - sizes[0] > np.log(ratio)
    thirds = np.histogram(sizes, 3)[0]
    assert thirds.min() > 8


def test_a_miniature_is_the_same_picture_at_another_scale():
    sample = render("miniatures", "test", 0)
    view = sample.setting.scene.view()
    seen = sample.depth > 0
    np.testing.assert_allclose(sample.depth[seen], view.depth[seen] * sample.setting.scale, rtol=1e-6)
    scales = {round(1 / render("miniatures", "test", i).setting.scale) for i in range(20)}
    assert scales == {12, 43}


def test_lidar_measures_scattered_points_of_the_lower_part():
    mask = lidar_mask(np.random.default_rng(0), 112, 140)
    assert not mask[:44].any()
    assert not mask[::2].any()
    assert 0.1 < mask.mean() < 0.2


def test_streets_are_sparse_and_rooms_dense():
    assert (render("streets", "test", 0).depth > 0).mean() < 0.2
    assert (render("rooms", "test", 0).depth > 0).mean() > 0.95
