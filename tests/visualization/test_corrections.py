import cv2
import numpy as np
import pytest

from tr2m_plugin.visualization.corrections import Correction, balance_map, draw_corrections
from tr2m_plugin.visualization.depth import NOTHING


def example(size=(48, 64), small=(14, 28), **changes):
    rng = np.random.default_rng(0)
    truth = rng.uniform(1, 9, size)
    given = {
        "title": "best",
        "name": "2011_09_26/2011_09_26_drive_0002_sync/image_02/data/0000000069 $x$$",
        "text": "A street " * 40,
        "picture": rng.integers(0, 255, (*size, 3), np.uint8),
        "truth": truth,
        "relative": rng.uniform(0, 1, small),
        "scale": rng.uniform(0.1, 1, small),
        "shift": rng.uniform(0.1, 1, small),
        "fit": truth * 1.3,
        "depth": truth * 1.1,
    }
    return Correction(**{**given, **changes})


def test_blue_is_where_the_first_is_nearer_to_the_truth():
    truth = np.array([[4.0, 4.0, 4.0, 0.0]] * 2)
    first = np.array([[4.2, 6.0, 5.0, 5.0]] * 2)
    other = np.array([[6.0, 4.2, 3.0, 5.0]] * 2)
    blue, red, even, nothing = balance_map(first, other, truth)[0].astype(int)
    assert blue[2] > blue[0] + 100
    assert red[0] > red[2] + 100
    assert np.ptp(even) < 5
    assert tuple(nothing) == NOTHING
    weaker = balance_map(np.where(first == 4.2, 5.6, first), other, truth)[0, 0].astype(int)
    assert blue[2] - blue[0] > weaker[2] - weaker[0] > 0, "the colour says how much"


def test_points_of_a_sparse_truth_can_be_seen():
    truth, first, other = np.zeros((60, 80)), np.full((60, 80), 4.0), np.full((60, 80), 6.0)
    truth[30, 40] = 4.0
    drawn = (balance_map(first, other, truth) != NOTHING).any(-1)
    assert drawn.sum() == 9
    assert drawn[29:32, 39:42].all()


@pytest.mark.parametrize("size", [(48, 64), (35, 121), (90, 40)])
def test_two_lines_of_five_tiles_per_example(tmp_path, size):
    def draw(count, **changes):
        draw_corrections(tmp_path / "a.png", [example(size, **changes)] * count, "m", "a title of Ba$$in")
        return cv2.imread(str(tmp_path / "a.png"))

    one, three = draw(1), draw(3)
    assert one.shape[1] == three.shape[1]
    assert 2.4 * one.shape[0] < three.shape[0] < 3.1 * one.shape[0]
    assert (one.reshape(-1, 3).std(0) > 10).all()
    worse = draw(1, depth=example(size).truth * 2)
    assert worse.shape == one.shape
    assert (worse != one).any()


def test_factors_in_place_of_maps_and_truth_of_which_nothing_counts(tmp_path):
    """RSA has one scale and one shift; a window can leave out all of a picture."""
    factor = np.full((1, 1), 0.4)
    shown = [example(scale=factor, shift=factor), example(truth=np.zeros((48, 64)))]
    draw_corrections(tmp_path / "a.png", shown, "mm", "")
    assert (tmp_path / "a.png").is_file()
