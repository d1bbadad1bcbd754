from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
import trimesh

from tr2m_plugin.page.showing import SHOWN, anchor_note, bar, camera_note, draw_depth, readout, surface, told
from tr2m_plugin.page.view import assumed_camera


def test_depth_is_drawn_with_its_marks(view):
    plain = draw_depth(view)
    assert plain.shape == (round(30 * SHOWN / 40), SHOWN, 3)
    assert plain[400, 100, 0] > plain[400, 100, 2]  # near is red
    assert plain[400, 900, 0] < plain[400, 900, 2]  # far is blue
    changed = (draw_depth(view.marked(10, 8)) != plain).any(-1)
    v, u = np.nonzero(changed)
    assert abs(u.mean() - 10.5 * SHOWN / 40) < 2
    assert abs(v.mean() - 8.5 * SHOWN / 40) < 2
    both = (draw_depth(view.marked(10, 8).marked(30, 8)) != plain).any(-1)
    assert both[round(8.5 * SHOWN / 40), round(20 * SHOWN / 40)]  # the line between them
    anchored = view.marked(10, 8).anchored(2)
    assert (draw_depth(replace(anchored, marks=())) != plain).any()


def test_the_bar_goes_from_near_to_far(view):
    assert bar(view.prediction).count("<span>") == 6
    assert "<span>2.00</span>" in bar(view.prediction)
    assert "<span>4.00</span>" in bar(view.prediction)
    assert "depth in mm" in bar(replace(view.prediction, unit="mm"))


def test_what_was_measured_is_told(view):
    assert "Click a pixel" in readout(view)
    one = view.marked(10, 15)
    away = np.linalg.norm([-9.5 / 50 * 2, 0.5 / 50 * 2, 2])
    assert "<b>2.00 m</b>" in readout(one)
    assert f"<td>{away:.2f} m</td>" in readout(one)
    assert "apart" not in readout(one)
    apart = np.linalg.norm([-9.5 / 50 * 2 - 10.5 / 50 * 4, -0.5 / 50 * 2, -2])
    assert f"1 to 2: <b>{apart:.2f} m</b> apart" in readout(one.marked(30, 15))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.01234, "0.0123"), (1.0, "1.00"), (23.456, "23.5"), (345.6, "346"), (12345.6, "12346"), (0, "0")],
)
def test_numbers_have_three_digits(value, shown):
    assert told(value) == shown


def test_an_assumed_camera_is_said(view):
    assert camera_note(view) == "The camera is known from given."
    note = camera_note(replace(view, camera=assumed_camera((30, 40))))
    assert note.startswith("<b>The camera is assumed: horizontal field of view of 60 degrees.</b>")


def test_what_anchors_did_is_told(view):
    assert anchor_note(view) == ""
    note = anchor_note(view.marked(10, 8).anchored(3))
    assert note == "Depth is 1.50 times what the model said, brought to 3 m at 10, 8 (median error 0%)."


def test_the_surface_is_in_metres_also_of_millimetres(view, said):
    found = surface(view)
    mesh = trimesh.load(BytesIO(found.content), file_type="glb", force="mesh")
    assert mesh.bounds[:, 2] == pytest.approx([-4, -2])
    assert found.middle == pytest.approx(3)
    small = surface(view.measured(replace(said, unit="mm")))
    mesh = trimesh.load(BytesIO(small.content), file_type="glb", force="mesh")
    assert mesh.bounds[:, 2] == pytest.approx([-0.004, -0.002])


def test_where_all_is_edges_there_is_no_surface(view, said):
    cliffs = np.where(np.indices(said.depth.shape).sum(0) % 2, 1, 9).astype(np.float32)
    assert surface(view.measured(replace(said, depth=cliffs))) is None
