"""Predictions of frames that keep coming, which a thread fetches ahead."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, suppress
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Any, TypeVar

import numpy as np

from tr2m_plugin.checks import are_numbers
from tr2m_plugin.errors import InputError, TR2MError, reason_of
from tr2m_plugin.inference.batches import Ready, make_batches
from tr2m_plugin.inference.outputs import Prediction
from tr2m_plugin.units import check_unit

AHEAD = 2
"""So many items at most wait for whoever asks for them."""

PATIENCE = 2.0
"""Seconds that an abandoned source has to give its next item; a thread that still waits for it then ends after it."""

LOOK = 0.05
"""Seconds between two looks at whether somebody still asks."""

Item = TypeVar("Item")
Predict = Callable[[list[Ready], str | None, Callable[[str, Exception], None]], Iterator[Prediction]]
"""Of a batch, with a unit, and what is called with a picture's name and its error."""


def stream_frames(
    predict: Predict,
    frames: Iterable[np.ndarray],
    text: str,
    unit: str | None = None,
    batch_size: int = 1,
    newest: bool = False,
) -> Generator[Prediction, None, None]:
    """Predictions of frames, one after another, without files and a progress bar.

    The sentence is encoded once. A thread fetches the frames ahead, which ends when they do, or when the iterator is
    closed or let go; what was fetched by then is lost.

    Args:
        predict: predicts a batch.
        frames: an iterator over (H, W, 3) uint8 arrays in the order RGB, as from a camera; it may be endless. Each must
            be an array of its own, not a buffer that the next one is written to.
        text: a sentence for all of them.
        unit: that depth is given in, "m" or "mm". Default: as the sentence says.
        batch_size: frames at a time; a prediction comes when its batch is full. Default: 1.
        newest: whether frames are passed over that came while others were predicted, so that a prediction is of what
            the camera sees now. Default: False, each frame has a prediction.

    Returns:
        Their predictions, named by the number of the frame among those that were predicted.

    Raises:
        InputError: the text or an option is wrong, or a frame is no such array, or cannot be predicted.
        Exception: what the iterator over frames raises, after the predictions of those before.
    """
    check_unit(unit)
    if not are_numbers([batch_size], whole=True) or batch_size < 1:
        raise InputError(f"batch_size is a whole number above 0, not {batch_size!r}")
    if not isinstance(text, str):
        raise InputError(f"the frames of a stream have one sentence, not a {type(text).__name__}")
    return _predictions(predict, frames, text, unit, batch_size, newest)


def _predictions(
    predict: Predict, frames: Iterable[np.ndarray], text: str, unit: str | None, batch_size: int, newest: bool
) -> Generator[Prediction, None, None]:
    ended: list[Exception] = []

    def named(fetched: Iterator[np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
        try:
            yield from ((str(number), np.asarray(frame)) for number, frame in enumerate(fetched))
        except Exception as error:  # after the batch that it breaks off
            ended.append(error)

    with closing(ahead(frames, newest)) as fetched:
        for batch in make_batches(named(fetched), text, batch_size, _fail):
            yield from predict(batch, unit, _fail)
    if ended:
        raise ended[0]


def _fail(source: str, error: Exception) -> None:
    raise error if isinstance(error, TR2MError) else InputError(f"frame {source}: {reason_of(error)}") from error


def ahead(items: Iterable[Item], newest: bool = False) -> Generator[Item, None, None]:
    """What an iterable gives, fetched ahead by a thread, which starts with the first item that is asked for.

    Args:
        items: anything; it is iterated over, and raises, in the thread, and is no longer once this generator ends.
        newest: whether a new item takes the place of one that waits. Default: False, it waits itself.

    Raises:
        BaseException: what `items` raises, at its place.
    """
    waiting: Queue[tuple[Any, BaseException | None]] = Queue(1 if newest else AHEAD)
    stop = Event()
    thread = Thread(target=_fetch, args=(items, waiting, stop, newest), name="tr2m ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if isinstance(error, _End):
                return
            if error is not None:
                raise error
            yield item
    finally:
        stop.set()
        thread.join(PATIENCE)


class _End(Exception):  # noqa: N818 (no error)
    """After the last item."""


def _fetch(items: Iterable[Any], waiting: Queue, stop: Event, newest: bool) -> None:
    """Puts each item, and how they end, into the queue, until somebody says stop."""
    end: BaseException = _End()
    try:
        for item in items:
            if newest:
                with suppress(Empty):
                    waiting.get_nowait()
            if not _put(waiting, (item, None), stop):
                return
    except BaseException as error:
        end = error
    _put(waiting, (None, end), stop)


def _put(waiting: Queue, item: tuple[Any, BaseException | None], stop: Event) -> bool:
    while not stop.is_set():
        with suppress(Full):
            waiting.put(item, timeout=LOOK)
            return True
    return False
