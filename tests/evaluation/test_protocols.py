import numpy as np
import pytest

from tr2m_plugin.errors import InputError
from tr2m_plugin.evaluation import Protocol, resize_prediction


def test_range_is_strict_and_predictions_are_clamped():
    truth = np.array([[0.0, 0.5, 1.0], [5.0, 10.0, np.nan]], np.float32)
    pred = np.array([[3.0, 0.1, np.nan], [np.inf, 3.0, 3.0]], np.float32)
    compared, expected = Protocol((0.5, 10.0)).compare(pred, truth)
    np.testing.assert_array_equal(expected, [1.0, 5.0])
    np.testing.assert_array_equal(compared, [0.5, 10.0])


def test_resizing_is_bilinear_with_aligned_corners():
    small = np.array([[1.0, 3.0], [5.0, 7.0]], np.float32)
    np.testing.assert_allclose(resize_prediction(small, (3, 3)), [[1, 2, 3], [3, 4, 5], [5, 6, 7]])
    assert resize_prediction(small, (2, 2)) is small


@pytest.mark.parametrize("limits", [(-1.0, 10.0), (5.0, 1.0), (None, None)])
def test_a_senseless_range_is_refused(limits):
    with pytest.raises(InputError, match="depth_range"):
        Protocol(limits)
