import cv2
import numpy as np
import pytest

from tr2m_plugin.evaluation.protocols import Protocol
from tr2m_plugin.visualization.sample import LETTER, WIDTH, _lines, draw_sample


def drawn(path, picture, depth, protocol, sentences=()):
    draw_sample(path, "a room, test: kitchen/$1_$2", picture, depth, "m", protocol, sentences)
    return cv2.imread(str(path))


@pytest.mark.parametrize("size", [(48, 64), (35, 121), (90, 95)])
def test_panels_beside_each_other_or_wide_ones_below(tmp_path, size):
    picture, depth = np.full((*size, 3), 200, np.uint8), np.linspace(1, 12, size[0] * size[1]).reshape(size)
    plain = drawn(tmp_path / "below" / "a.png", picture, depth, Protocol((0.1, 10), crop="garg"))
    assert (plain.shape[0] > plain.shape[1] * 0.7) == (size == (35, 121))
    sentences = [("llava", "A kitchen for $5, or $6. " * 30), ("rsa", "")]
    assert drawn(tmp_path / "b.png", picture, depth, Protocol((0.1, 10)), sentences).shape[0] > plain.shape[0]


def test_depth_of_another_size_or_none_at_all(tmp_path):
    protocol = Protocol((0.1, 10), crop=(45, 471, 41, 601))
    shape = drawn(tmp_path / "a.png", np.zeros((48, 64, 3), np.uint8), np.zeros((40, 50)), protocol)
    alike = drawn(tmp_path / "b.png", np.zeros((48, 64, 3), np.uint8), np.zeros((48, 64)), protocol)
    assert abs(shape.shape[0] / alike.shape[0] - 1) < 0.1, "the layout is the picture's"


def test_sentences_are_wrapped_behind_their_source():
    assert _lines([]) == ["no description given"]
    lines = _lines([("llava-vicuna", "word " * 100), ("rsa", "An image."), ("rsa", "")])
    assert lines[0].startswith("llava-vicuna  word word")
    assert lines[1].startswith(" " * 14 + "word")
    assert [line.rstrip() for line in lines[-2:]] == ["rsa           An image.", "rsa"]
    assert max(map(len, lines)) * LETTER < WIDTH
