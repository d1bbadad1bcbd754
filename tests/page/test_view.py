from dataclasses import replace

import numpy as np
import pytest

from tr2m_plugin.errors import InputError
from tr2m_plugin.page.view import View, assumed_camera


def test_a_third_mark_begins_anew(view):
    assert view.marked(3, 4).marked(30, 5).marks == ((3, 4), (30, 5))
    assert view.marked(3, 4).marked(30, 5).marked(7, 8).marks == ((7, 8),)
    assert view.marked(-1, 99).marks == ((0, 29),)


def test_a_pixel_is_a_point_in_front_of_the_camera(view):
    np.testing.assert_allclose(view.point(3, 4), [(3 - 19.5) / 50 * 2, (4 - 14.5) / 50 * 2, 2], rtol=1e-6)
    np.testing.assert_allclose(view.point(30, 29), [(30 - 19.5) / 50 * 4, (29 - 14.5) / 50 * 4, 4], rtol=1e-6)


def test_a_camera_is_assumed_until_it_is_set(said):
    view = View("desk", said.image, assumed_camera((30, 40)))
    assert view.is_assumed
    assert view.fov == pytest.approx(60)
    assert view.camera.source == "assumed: horizontal field of view of 60 degrees"
    wider = view.measured(said).seen_through(90)
    assert not wider.is_assumed
    assert wider.camera.fx == pytest.approx(20)
    assert wider.prediction is said
    with pytest.raises(InputError, match="between 0 and 180"):
        view.seen_through(200)


def test_a_known_depth_scales_all(view):
    found = view.marked(3, 4).anchored(3)
    assert found.prediction.depth[4, 3] == pytest.approx(3)
    assert found.prediction.depth[4, 30] == pytest.approx(6)
    assert found.prediction.anchors["source"] == "the page"
    again = found.anchored(1)  # the same pixel
    assert again.known == ((3, 4, 1.0),)
    assert again.prediction.depth[4, 30] == pytest.approx(2)
    assert again.forgotten().prediction is view.said
    assert again.forgotten().known == ()


def test_known_depth_must_agree(view):
    with pytest.raises(InputError, match="contradict each other"):
        view.marked(3, 4).anchored(2).marked(30, 5).anchored(40)
    with pytest.raises(InputError, match="click the pixel"):
        view.anchored(3)
    for wrong in (None, 0, -1, float("nan"), float("inf")):
        with pytest.raises(InputError, match="type the depth"):
            view.marked(3, 4).anchored(wrong)


def test_what_is_known_stays_with_another_sentence_but_not_another_unit(view, said):
    anchored = view.marked(3, 4).anchored(3)
    longer = replace(said, depth=said.depth * 5)
    assert anchored.measured(longer).prediction.depth[4, 3] == pytest.approx(3)
    assert anchored.measured(replace(longer, unit="mm")).prediction.depth[4, 3] == pytest.approx(10)


def test_without_depth_there_is_nothing_to_measure(said):
    empty = View("desk", said.image, assumed_camera((30, 40)))
    for do in (lambda: empty.marked(1, 1), empty.forgotten, lambda: replace(empty, marks=((1, 1),)).anchored(2)):
        with pytest.raises(InputError, match="no depth yet"):
            do()
