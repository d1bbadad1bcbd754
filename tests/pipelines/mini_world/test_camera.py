import numpy as np
import pytest

from pipelines.mini_world.camera import Camera


@pytest.mark.parametrize(("pitch", "yaw"), [(0.0, 0.0), (-0.3, 0.4), (0.2, -1.0)])
def test_axes_are_orthonormal_and_rays_have_unit_forward_component(pitch, yaw):
    camera = Camera(pitch=pitch, yaw=yaw)
    np.testing.assert_allclose(camera.axes @ camera.axes.T, np.eye(3), atol=1e-6)
    forward = np.einsum("khw,k->hw", camera.rays, camera.axes[2])
    np.testing.assert_allclose(forward, 1, atol=1e-6)


def test_a_point_projects_to_the_pixel_whose_ray_meets_it():
    camera = Camera(position=(0.3, 1.4, -0.2), pitch=-0.2, yaw=0.3)
    point = camera.origin + 4.0 * camera.rays[:, 30, 90]
    window = camera.window(point - 1e-4, point + 1e-4)
    assert window is not None
    rows, columns = window
    assert rows.start <= 30 < rows.stop
    assert columns.start <= 90 < columns.stop
    assert rows.stop - rows.start <= 3


def test_window_is_none_behind_the_camera_and_whole_when_it_surrounds_the_camera():
    camera = Camera()
    assert camera.window(np.array([-1, -1, -3]), np.array([1, 1, -2])) is None
    assert camera.window(np.array([100, -1, 2]), np.array([101, 1, 3])) is None
    assert camera.window(np.array([-1, -1, -1]), np.array([1, 1, 1])) == (slice(0, 112), slice(0, 140))
