import numpy as np
import pytest

from tr2m_plugin.visualization.clip import LEAST, SIDES, ClipColors
from tr2m_plugin.visualization.depth import BAR


@pytest.mark.parametrize("size", [(48, 64), (61, 481), (1080, 1921), (3000, 40)])
def test_both_sides_are_even_and_of_a_bearable_size(size):
    frame = ClipColors(1, 4, "m", size)(np.full(size, 2, np.float32))
    height, width = frame.shape[:2]
    assert height % 2 == width % 2 == 0
    assert SIDES[0] <= max(height, width - BAR) <= SIDES[1] + 1
    assert height >= LEAST
    assert frame.dtype == np.uint8


def test_a_colour_is_one_depth_in_all_frames():
    colors = ClipColors(1, 4, "m", (480, 480))
    near, far, between, other = (
        colors(np.full((480, 480), depth, np.float16))[240, 100].copy() for depth in (1, 4, 2, 0.1)
    )
    assert near.tolist() == other.tolist() == [158, 1, 66]  # the ends of Spectral
    assert far.tolist() == [94, 79, 162]
    half = np.full((480, 480), 2, np.float32)
    half[:, 300:] = 100
    frame = colors(half)
    assert frame[240, 100].tolist() == between.tolist()
    assert frame[240, 400].tolist() == far.tolist()


def test_the_bar_is_beside_the_map():
    frame = ClipColors(1, 4, "m", (480, 640))(np.full((480, 640), 2, np.float32))
    bar = frame[:, 640:]
    assert (np.abs(bar.astype(int) - [94, 79, 162]) < 5).all(2).any()
    assert (bar == 255).all(2).mean() > 0.5
    assert (bar.max(2) < 100).any()  # numbers
