"""The files that a video's prediction leaves: depth as numbers in one HDF5 file, and in colour as a video."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from tr2m_plugin.errors import InputError, require
from tr2m_plugin.inference.outputs import Prediction
from tr2m_plugin.version import __version__

FORMAT = "tr2m video"
"""Value of `format` in the HDF5 file, and the comment of the coloured video, which say that they are ours."""

DTYPES = ("float16", "float32")
"""Precisions of depth: float16 rounds to 0.05 % and ends at 65,504."""

CODECS = {"libx264": {"crf": "18", "preset": "veryfast"}, "mpeg4": {"qscale": "3"}}
"""Encoders of the coloured video in the order in which they are tried, and their options."""

CLOCK = 90_000
"""Ticks per second of the coloured video, so that frames keep their times."""

EDGES = np.linspace(np.log(1e-5), np.log(1e6), 5001)
"""Bins of log depth, half a percent each, from which the range of colours is read."""

SHARES = (0.02, 0.98)
"""The range of colours leaves out so much of all depth below and above."""


class DepthFile:
    """An HDF5 file that grows frame by frame.

    Datasets: `depth` (N, H, W), a chunk for each frame, with the attribute `unit`; `time` (N,) in seconds; `text` (N,),
    the sentence of each frame; `factor` (N,), what depth was multiplied by to hold the scale.

    Args:
        path: is replaced if it exists.
        dtype: of depth, one of `DTYPES`. Default: float16.

    Attributes:
        count: frames so far.

    Raises:
        InputError: there is no such dtype.
    """

    def __init__(self, path: Path, dtype: str = "float16") -> None:
        if dtype not in DTYPES:
            raise InputError(f"depth of videos is {' or '.join(DTYPES)}, not {dtype!r}")
        h5py = require("h5py", "to write HDF5", "data")
        self.count = 0
        self._most = float(np.finfo(dtype).max)
        self._dtype, self._text = dtype, h5py.string_dtype()
        self._counted = np.zeros(len(EDGES) - 1, np.int64)
        self._file = h5py.File(path, "w")

    def __enter__(self) -> DepthFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, found: Prediction, seconds: float, factor: float) -> None:
        """Writes a frame: its prediction, time and factor."""
        if not self.count:
            self._begin(found)
        number, self.count = self.count, self.count + 1
        values = {"time": seconds, "text": found.text, "factor": factor}
        for name, value in {"depth": found.depth.clip(max=self._most).astype(self._dtype), **values}.items():
            self._file[name].resize(self.count, 0)
            self._file[name][number] = value
        self._counted += np.histogram(np.log(found.depth[::4, ::4]), EDGES)[0]

    def _begin(self, found: Prediction) -> None:
        size = found.depth.shape
        # What every reader of HDF5 has.
        packed = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
        depth = self._file.create_dataset(
            "depth", (0, *size), self._dtype, maxshape=(None, *size), chunks=(1, *size), **packed
        )
        depth.attrs["unit"] = found.unit
        for name, dtype in (("time", "float64"), ("text", self._text), ("factor", "float32")):
            self._file.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(1024,))
        facts = {name: getattr(found, name) for name in ("model", "weights", "text", "unit", "unit_reason")}
        self._file.attrs.update(
            format=FORMAT, version=__version__, network_size=found.relative.shape, frames=0, complete=False, **facts
        )

    def finish(self, **facts: Any) -> None:
        """Writes facts of the whole as attributes, with the range of colours, `color_range`."""
        shares = np.cumsum(self._counted) / max(self._counted.sum(), 1)
        limits = [np.exp(EDGES[np.searchsorted(shares, share) + end]) for end, share in enumerate(SHARES)]
        self._file.attrs.update(frames=self.count, color_range=limits, **facts)


def read_facts(path: Path) -> dict[str, Any]:
    """The number of frames of such a file, its unit, and the range of its colours as `near` and `far`."""
    h5py = require("h5py", "to read HDF5", "data")
    with h5py.File(path, "r") as file:
        near, far = map(float, file.attrs["color_range"])
        return {"frames": int(file.attrs["frames"]), "unit": str(file.attrs["unit"]), "near": near, "far": far}


def read_frames(path: Path) -> Generator[tuple[np.ndarray, float], None, None]:
    """Depth and time of each frame of such a file."""
    h5py = require("h5py", "to read HDF5", "data")
    with h5py.File(path, "r") as file:
        for number, seconds in enumerate(file["time"][:]):
            yield file["depth"][number], float(seconds)


def write_video(path: Path, frames: Iterable[tuple[np.ndarray, float]], fps: float) -> None:
    """Encodes pictures with their times.

    Args:
        path: the file, `.mp4`.
        frames: (H, W, 3) uint8 RGB of one size, both sides even, and seconds, which grow.
        fps: frames per second, on average.

    Raises:
        InputError: this build of PyAV encodes neither H.264 nor MPEG-4.
    """
    av = require("av", "to read and write videos", "video")
    codec = next((name for name in CODECS if name in av.codecs_available), None)
    if codec is None:
        raise InputError(f"PyAV encodes none of {', '.join(CODECS)} here: install its wheel from PyPI")
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        container.metadata["comment"] = FORMAT
        stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001), options=CODECS[codec])
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, CLOCK)
        for image, seconds in frames:
            if not stream.codec_context.is_open:
                stream.height, stream.width = image.shape[:2]
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round(seconds * CLOCK), Fraction(1, CLOCK)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def is_depth_file(path: Path, source: str) -> bool:
    """Whether a file is such an HDF5 file of this video, or of one that is no longer there."""
    h5py = require("h5py", "to read HDF5", "data")
    try:
        with h5py.File(path, "r") as file:
            other = file.attrs.get("video")
            return file.attrs.get("format") == FORMAT and (other == source or not os.path.exists(str(other)))
    except OSError:
        return False


def is_color_video(path: Path) -> bool:
    """Whether a file is a coloured video of ours."""
    av = require("av", "to read and write videos", "video")
    try:
        with path.open("rb") as file, av.open(file) as container:
            return container.metadata.get("comment") == FORMAT
    except (av.FFmpegError, OSError):
        return False
