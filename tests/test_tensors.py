import numpy as np
import pytest
import torch

from tr2m_plugin.tensors import at_least_float32, image_mean, resize_prediction, stretch_image, valid_depth


def test_stretching():
    image = np.zeros((8, 8, 3), np.uint8)
    image[::2] = 200
    assert (stretch_image(image, (4, 4)) == 100).all()  # averaged, no row is lost
    assert stretch_image(image, (16, 24)).shape == (16, 24, 3)
    assert stretch_image(image, (8, 8)) is image


def test_resizing_is_bilinear_with_or_without_aligned_corners():
    small = np.array([[1.0, 3.0], [5.0, 7.0]], np.float32)
    np.testing.assert_allclose(resize_prediction(small, (3, 3)), [[1, 2, 3], [3, 4, 5], [5, 6, 7]])
    np.testing.assert_allclose(resize_prediction(small, (2, 4), aligned=False)[0], [1, 1.5, 2.5, 3])
    assert resize_prediction(small, (2, 2)) is small


def test_measurements_are_finite_positive_and_inside_the_mask():
    depth = torch.tensor([[1.0, 0.0, -1.0, float("nan"), float("inf"), 2.0]])
    assert valid_depth(depth).tolist() == [[True, False, False, False, False, True]]
    mask = torch.tensor([[False, True, True, True, True, True]])
    assert valid_depth(depth, mask).tolist() == [[False] * 5 + [True]]


def test_the_mean_of_an_image_is_that_of_its_pixels_and_zero_without_any():
    values = torch.tensor([[[[1.0, 2.0], [3.0, float("nan")]]], [[[5.0, 6.0], [7.0, 8.0]]]])
    mask = torch.tensor([[[[True, True], [True, False]]], [[[False] * 2] * 2]])
    assert image_mean(values, mask).tolist() == [2.0, 0.0]


@pytest.mark.parametrize(
    ("given", "kept"), [("float16", "float32"), ("bfloat16", "float32"), ("float32", "float32"), ("float64", "float64")]
)
def test_half_precision_is_widened_and_double_stays(given, kept):
    assert at_least_float32(torch.ones(1, dtype=getattr(torch, given))).dtype == getattr(torch, kept)


def test_a_picture_is_averaged_where_it_shrinks_whatever_the_other_side_does():
    noise = np.random.default_rng(0).integers(0, 256, (40, 800, 3), np.uint8)
    found = stretch_image(noise, (56, 80))
    assert found.shape == (56, 80, 3)
    assert found.std() < 35  # 74 of the noise, by a factor of about sqrt(10)
