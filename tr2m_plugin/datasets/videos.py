"""Videos: their frames in order, upright, each with its time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tr2m_plugin.datasets.headers import check_dimensions
from tr2m_plugin.errors import InputError, require
from tr2m_plugin.files import file_size, reading

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".3gp", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".ts", ".mts", ".m2ts"),
    *(".ogv", ".flv"),
)

MISSING = 0.5
"""A video ends before its end where more than so many seconds lack."""

FPS = 25.0
"""Frames per second of a file that does not say it."""


class Frame(NamedTuple):
    """A picture of a video.

    Attributes:
        image: (H, W, 3) uint8 RGB, upright as the file says.
        seconds: its time, 0 of the first.
    """

    image: np.ndarray
    seconds: float


def is_video(path: str | os.PathLike) -> bool:
    """Whether a path is a file with a video's extension; animated pictures are none."""
    return Path(path).suffix.lower() in VIDEO_SUFFIXES and os.path.isfile(path)


class Clip:
    """A video file, of which PyAV decodes the first track of pictures.

    Args:
        path: the file.

    Attributes:
        path: the same.
        fps: frames per second, on average.
        seconds: how long it says it is; None where it does not.
        count: about how many frames that makes.

    Raises:
        MissingExtraError: PyAV is not there.
        InputError: it is no video, has sound only, cannot be read or is too large.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        with self._open() as (container, stream):
            self.fps = float(stream.average_rate or stream.guessed_rate or FPS)
            self.seconds = _length(container, stream)
            check_dimensions(stream.codec_context.height, stream.codec_context.width, path)
        self.count = None if self.seconds is None else max(round(self.seconds * self.fps), 1)

    def frames(self) -> Iterator[Frame]:
        """The frames, whose times grow; packets that are damaged are passed over.

        Raises:
            InputError: after the last frame that could be decoded: some could not, the video ends before its end, or
                it goes on at another size.
        """
        av = _av()
        done, shape, start, last, damaged = 0, None, 0.0, 0.0, 0
        with self._open() as (container, stream):
            for packet in container.demux(stream):
                try:
                    decoded = packet.decode()
                except av.FFmpegError:
                    damaged += 1
                    continue
                for frame in decoded:
                    image = _upright(frame)
                    start = (frame.time or 0.0) if shape is None else start
                    seconds = -1.0 if frame.time is None else frame.time - start
                    last = (seconds if seconds > last else last + 1 / self.fps) if done else 0.0
                    shape = shape or image.shape
                    if image.shape != shape:
                        raise InputError(f"{self.path} changes its size after {last:.2f} s, where it ends here")
                    done += 1
                    yield Frame(image, last)
        self._check_end(done, last, start, damaged)

    def _check_end(self, done: int, last: float, start: float, damaged: int) -> None:
        """Raises an InputError where frames lack; some formats count a file's length from before its first frame."""
        until = last + 1 / self.fps if done else 0.0
        short = self.seconds is not None and until + max(start, 0) < self.seconds - MISSING
        if not (damaged or short or not done):
            return
        found = f"{done} frames could be decoded, until {until:.2f} s"
        whole = "" if self.seconds is None else f" of {self.seconds:.2f} s"
        raise InputError(f"{self.path} is {'damaged' if damaged else 'cut off'}: {found}{whole}")

    @contextmanager
    def _open(self) -> Iterator[tuple[Any, Any]]:
        av = _av()
        file_size(self.path)  # no pipe, which would be waited for
        # As an open file: a name need not be UTF-8, and a playlist under a video's name opens no other files.
        with reading(self.path), self.path.open("rb") as file:
            try:
                with av.open(file, options={"protocol_whitelist": "none"}) as container:
                    yield container, _pictures(container, self.path)
            except (av.FFmpegError, OSError) as error:
                said = getattr(error, "strerror", None) or error
                raise InputError(f"{self.path} is cut off, or no video that FFmpeg can read: {said}") from error


def _av() -> Any:
    return require("av", "to read and write videos", "video")


def _pictures(container: Any, path: Path) -> Any:
    """The first track of pictures, but not the cover of an album.

    Raises:
        InputError: there is none.
    """
    cover = _av().stream.Disposition.attached_pic
    found = next((stream for stream in container.streams.video if not stream.disposition & cover), None)
    if found is None:
        raise InputError(f"{path} holds no pictures{', only sound' if container.streams.audio else ''}")
    return found


def _length(container: Any, stream: Any) -> float | None:
    """How many seconds of pictures a file says that it has; None where it does not."""
    said = [] if container.duration is None else [container.duration / 1e6]
    if stream.duration is not None:
        return min([float(stream.duration * stream.time_base), *said])  # an edit may have cut the track
    return said[0] if said and len(container.streams) == 1 else None  # sound may be longer


def _upright(frame: Any) -> np.ndarray:
    """The pixels of a frame, turned as its display matrix says, in steps of 90 degrees."""
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90)))
