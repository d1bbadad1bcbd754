import warnings

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tr2m_plugin.visualization.text import MISSING, fit_text, write_text


def test_a_text_is_wrapped_and_cut():
    assert fit_text("A small kitchen.", 40) == ["A small kitchen."]
    assert fit_text("one two three four", 10, 2) == ["one two", "three four"]
    cut = fit_text("word " * 3000, 40, 2)
    assert [len(line) for line in cut] == [39, 40]
    assert cut[1].endswith("word…")
    assert fit_text("x" * 100, 10, 2) == ["x" * 10, "x" * 9 + "…"]
    assert fit_text("a\nb", 9, 2) == ["a", "b"]
    assert fit_text(" \n", 9) == []


def test_what_cannot_be_drawn_is_replaced():
    assert fit_text("a\x07b\tc\u200bd", 40) == ["a b c d"]
    assert fit_text("\udcff\u4f60", 40) == [MISSING * 2]


def test_no_text_is_mathematics_or_warns():
    figure = Figure()
    axes = figure.add_subplot()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for put in (axes.set_title, axes.set_xlabel, axes.set_ylabel, figure.suptitle):
            write_text(put, "Ba$$in for $5_{ \u4f60 \udc80", 40)
        FigureCanvasAgg(figure).draw()
    assert axes.get_title() == f"Ba$$in for $5_{{ {MISSING} {MISSING}"
    assert np.asarray(figure.canvas.buffer_rgba()).std() > 0
