import itertools
import threading
import time

import numpy as np
import pytest

from tr2m_plugin import TR2MInferencer
from tr2m_plugin.errors import InputError
from tr2m_plugin.inference.stream import AHEAD, ahead

TEXT = "A small kitchen with a table."


@pytest.fixture(scope="module")
def inferencer(trained):
    return TR2MInferencer(trained / "model", device="cpu")


def frames(count):
    return list(np.random.default_rng(0).integers(0, 255, (count, 20, 30, 3), np.uint8))


def fetching():
    return [thread for thread in threading.enumerate() if thread.name == "tr2m ahead"]


def wait_for(condition):
    until = time.monotonic() + 10
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    assert condition()


def test_predictions_are_those_of_the_pictures(inferencer, capsys, monkeypatch):
    given = frames(5)
    expected = inferencer(given, TEXT, batch_size=1)
    inferencer._texts.clear()
    encoded, whole = [], inferencer.text_encoder.forward
    monkeypatch.setattr(inferencer.text_encoder, "forward", lambda texts: encoded.append(texts) or whole(texts))
    capsys.readouterr()
    for size in (1, 2):
        found = list(inferencer.stream(iter(given), TEXT, batch_size=size))
        assert [one.name for one in found] == ["0", "1", "2", "3", "4"]
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one.depth, other.depth, rtol=1e-3)
    assert encoded == [[TEXT]]
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""
    assert next(inferencer.stream(given, TEXT, unit="mm")).unit == "mm"


def test_an_endless_camera_is_let_go(inferencer):
    camera = itertools.cycle(frames(2))
    stream = inferencer.stream(camera, TEXT)
    assert not fetching()
    assert next(stream).depth.shape == (20, 30)
    assert len(fetching()) == 1
    stream.close()
    assert not fetching()
    for _ in inferencer.stream(camera, TEXT):
        break
    wait_for(lambda: not fetching())


def test_what_the_source_raises_comes_after_the_frames_before_it(inferencer):
    def camera():
        yield from frames(3)
        raise OSError("unplugged")

    stream = inferencer.stream(camera(), TEXT, batch_size=2)
    assert [next(stream).name for _ in range(3)] == ["0", "1", "2"]
    with pytest.raises(OSError, match="unplugged"):
        next(stream)
    assert not fetching()


def test_bad_frames_and_options_are_refused(inferencer):
    with pytest.raises(InputError, match=r"\(H, W, 3\) uint8 RGB, not \(20, 30\) float64"):
        next(inferencer.stream([np.zeros((20, 30))], TEXT))
    with pytest.raises(InputError, match="the text is empty"):
        next(inferencer.stream(frames(1), " "))
    with pytest.raises(InputError, match="have one sentence, not a list"):
        inferencer.stream(frames(1), [TEXT])
    with pytest.raises(InputError, match="batch_size is a whole number above 0, not 0"):
        inferencer.stream(frames(1), TEXT, batch_size=0)
    with pytest.raises(InputError, match="m or mm, not 'km'"):
        inferencer.stream(frames(1), TEXT, unit="km")


def test_no_more_is_fetched_ahead_than_said():
    asked = []
    source = (asked.append(number) or number for number in range(100))
    found = ahead(source)
    assert next(found) == 0
    wait_for(lambda: len(asked) == AHEAD + 2)
    time.sleep(0.2)
    assert len(asked) == AHEAD + 2
    assert list(found) == list(range(1, 100))


def test_the_newest_frame_is_taken():
    second, all_given = threading.Event(), threading.Event()

    def camera():
        yield 0
        second.wait(10)
        yield from range(1, 9)
        all_given.set()

    found = ahead(camera(), newest=True)
    assert next(found) == 0
    second.set()
    all_given.wait(10)
    assert list(found) == [8]


def test_a_source_that_hangs_does_not_hold_whoever_leaves(monkeypatch):
    monkeypatch.setattr("tr2m_plugin.inference.stream.PATIENCE", 0.05)
    hung = threading.Event()

    def camera():
        yield 0
        hung.wait(30)
        yield 1

    found = ahead(camera())
    assert next(found) == 0
    found.close()
    assert len(fetching()) == 1
    hung.set()
    wait_for(lambda: not fetching())
