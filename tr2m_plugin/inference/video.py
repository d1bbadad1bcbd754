"""Metric depth of a video file."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from itertools import chain, groupby
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from tr2m_plugin.datasets.videos import Clip, Frame
from tr2m_plugin.errors import InputError
from tr2m_plugin.files import sweep, write_whole
from tr2m_plugin.inference.outputs import Prediction
from tr2m_plugin.inference.steady import SteadyScale
from tr2m_plugin.inference.stream import ahead
from tr2m_plugin.inference.video_files import (
    DepthFile,
    is_color_video,
    is_depth_file,
    read_facts,
    read_frames,
    write_video,
)
from tr2m_plugin.replacing import check_file

Stream = Callable[..., Generator[Prediction, None, None]]
"""`TR2MInferencer.stream`."""


class VideoFiles(NamedTuple):
    """What was written of a video.

    Attributes:
        depth: see `DepthFile`.
        color: the coloured video.
        frames: how many there are.
        near: depth of the first colour.
        far: depth of the last colour.
        unit: of both.
    """

    depth: Path
    color: Path
    frames: int
    near: float
    far: float
    unit: str


def predict_video(
    stream: Stream,
    clip: Clip,
    sentence: str | Callable[[Frame], str],
    base: Path,
    unit: str | None = None,
    batch_size: int = 1,
    steady: float | None = None,
    dtype: str = "float16",
    show_progress: bool = True,
) -> VideoFiles:
    """Predicts every frame and writes `NAME.h5` and `NAME_color.mp4`.

    The colours have one range over the video, the 2nd to the 98th percentile of all its depth, so they are drawn when
    all frames are there. Each file is whole or not there; where the video breaks off, or predicting it does, they hold
    the frames before, `complete` is False, and the error is raised then.

    Args:
        stream: the inferencer's `stream`.
        clip: the video.
        sentence: about all frames, or a function that has one for each frame; it is called in their order, in another
            thread.
        base: folder and NAME of the files; the folder is made if need be.
        unit: that depth is given in, "m" or "mm". Default: as the first sentence says.
        batch_size: frames at a time. Default: 1.
        steady: the delay of `SteadyScale`. Default: None, the scale is as predicted.
        dtype: of depth in the file, float16 or float32. Default: float16.
        show_progress: whether to show a progress bar. Default: True.

    Raises:
        InputError: the video breaks off, a sentence is wrong, or a file is in the way that no earlier prediction of
            this video wrote.
    """
    depth, color = _places(base, clip)
    held = None if steady is None else SteadyScale(steady)
    predictions = _predictions(stream, clip, sentence, unit, batch_size)
    ended: list[BaseException] = []

    def write(partial: Path) -> None:
        with DepthFile(partial, dtype) as file, _bar(clip, show_progress) as bar, closing(ahead(predictions)) as found:
            try:
                for prediction, seconds in found:
                    file.add(*_held(held, prediction, seconds))
                    bar.update()
            except BaseException as error:  # an interruption too leaves what is done
                if not file.count:
                    raise
                ended.append(error)
            facts = {"video": os.path.abspath(clip.path), "fps": clip.fps, "steady": steady or 0.0}
            file.finish(**facts, complete=not ended)

    write_whole(depth, write)
    made = VideoFiles(depth, color, **read_facts(depth))
    write_whole(color, lambda partial: _write_colors(partial, made, clip.fps))
    if ended and isinstance(ended[0], InputError):
        raise InputError(f"{ended[0]}; {depth} holds the {made.frames} frames before that") from ended[0]
    if ended:
        raise ended[0]
    return made


def _places(base: Path, clip: Clip) -> tuple[Path, Path]:
    """The files to be written, after a look at what is there."""
    depth, color = base.with_name(f"{base.name}.h5"), base.with_name(f"{base.name}_color.mp4")
    base.parent.mkdir(parents=True, exist_ok=True)
    sweep(base.parent)
    source, what = os.path.abspath(clip.path), "of a prediction of this video"
    check_file(depth, lambda path: is_depth_file(path, source), what, "folder with --out")
    check_file(color, is_color_video, what, "folder with --out")
    return depth, color


def _bar(clip: Clip, shown: bool) -> tqdm:
    return tqdm(total=clip.count, unit="frame", desc="depth", disable=not shown)


def _held(held: SteadyScale | None, found: Prediction, seconds: float) -> tuple[Prediction, float, float]:
    """A prediction with its time and the factor of its depth."""
    scaled, factor = (found, 1.0) if held is None else held(found, seconds)
    return scaled, seconds, factor


def _predictions(
    stream: Stream, clip: Clip, sentence: str | Callable[[Frame], str], unit: str | None, batch_size: int
) -> Iterator[tuple[Prediction, float]]:
    """Predictions and times; the frames of a sentence are one stream."""
    say = (lambda _: sentence) if isinstance(sentence, str) else sentence
    times: deque[float] = deque()

    def images(frames: Iterator[Frame]) -> Iterator:
        for frame in frames:
            times.append(frame.seconds)
            yield frame.image

    for text, frames in groupby(clip.frames(), say):
        with closing(stream(images(frames), text, unit=unit, batch_size=batch_size)) as found:
            for prediction in found:
                unit = prediction.unit  # the first sentence's, which later ones keep
                yield prediction, times.popleft()


def _write_colors(path: Path, made: VideoFiles, fps: float) -> None:
    """Draws the frames of a file of depth."""
    from tr2m_plugin.visualization.clip import ClipColors

    with closing(read_frames(made.depth)) as frames:
        depth, seconds = next(frames)
        colors = ClipColors(made.near, made.far, made.unit, depth.shape)
        drawn = ((colors(depth), seconds) for depth, seconds in chain([(depth, seconds)], frames))
        write_video(path, drawn, fps)
