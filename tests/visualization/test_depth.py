import numpy as np
import pytest
from matplotlib import colormaps

from tr2m_plugin.visualization import colorize, colorize_depth, depth_with_bar, error_map, inverse_limits
from tr2m_plugin.visualization.depth import ABOVE, BAR, LARGEST, NOTHING, thin


def test_colours_run_from_low_to_high_and_nothing_is_grey():
    picture = colorize(np.array([[0.0, 1.0, np.nan, 5.0]]), 0.0, 1.0, "viridis")
    first, last = ((np.array(colormaps["viridis"](end)[:3]) * 255).astype(np.uint8) for end in (0.0, 1.0))
    np.testing.assert_array_equal(picture[0, 0], first)
    np.testing.assert_array_equal(picture[0, 1], last)
    np.testing.assert_array_equal(picture[0, 2], NOTHING)
    np.testing.assert_array_equal(picture[0, 3], last)


def test_depth_is_red_when_near_and_blue_when_far():
    picture = colorize_depth(np.array([[1.0, 10.0, 0.0]]), 1.0, 10.0).astype(int)
    assert picture[0, 0, 0] > picture[0, 0, 2]
    assert picture[0, 1, 2] > picture[0, 1, 0]
    np.testing.assert_array_equal(picture[0, 2], NOTHING)


def test_limits_ignore_what_is_no_measurement():
    assert inverse_limits(np.array([0.0, np.nan, 2.0, 2.0])) == pytest.approx((2.0, 2.02))
    assert inverse_limits(np.zeros(3)) == (1.0, 2.0)


def test_errors_are_dark_for_none():
    picture = error_map(np.array([[2.0, 3.0, 1.0]]), np.array([[2.0, 2.0, 0.0]])).astype(int)
    assert picture[0, 0].sum() < 10
    assert picture[0, 1].sum() > 500
    np.testing.assert_array_equal(picture[0, 2], NOTHING)


def test_the_bar_stands_beside_the_picture():
    depth = np.linspace(1, 9, 600 * 800).reshape(600, 800)
    picture = depth_with_bar(depth, "m", "a room")
    assert picture.dtype == np.uint8
    assert picture.shape[1] > 800
    assert picture[300, 20:400].std() > 0


def test_the_title_does_not_change_the_picture():
    depth = np.linspace(1, 9, 60 * 80).reshape(60, 80)
    plain, long = depth_with_bar(depth, "m"), depth_with_bar(depth, "m", "Ba$$in " * 3000)
    assert plain.shape == long.shape
    np.testing.assert_array_equal(plain[ABOVE:], long[ABOVE:])
    assert (plain[:ABOVE] != long[:ABOVE]).any()


@pytest.mark.parametrize("size", [(800, 1), (2000, 20), (1, 3000), (1, 1), (2500, 2100)])
def test_what_is_drawn_is_bounded(size):
    picture = depth_with_bar(np.linspace(1, 9, size[0] * size[1], dtype=np.float32).reshape(size), "m")
    assert max(picture.shape) <= LARGEST + BAR
    assert min(picture.shape[:2]) >= 200


def test_large_pictures_are_thinned():
    pixels = np.arange(3 * LARGEST).reshape(1, -1)
    assert thin(pixels).tolist() == [list(range(0, 3 * LARGEST, 3))]
    assert thin(np.zeros((LARGEST + 1, 4, 3))).shape == (LARGEST // 2 + 1, 2, 3)
    assert thin(pixels[:, :LARGEST]).shape == (1, LARGEST)


def test_sparse_points_are_drawn_larger_and_the_nearer_wins():
    depth = np.zeros((20, 20))
    depth[5, 5], depth[5, 7] = 9, 2
    colors = colorize_depth(depth, 1, 10)
    blue, red = colors[5, 5], colors[5, 7]
    assert (colors[4:7, 4:6] == blue).all()
    assert (colors[4:7, 6:9] == red).all()
    assert (colors[0, 0] == colors[5, 9]).all()
    errors = error_map(np.full((20, 20), 4.0), depth)
    assert (errors[4:7, 6:9] == errors[5, 7]).all(), "and the larger error"
