"""How much the depth of a still camera flickers, with and without `SteadyScale`.

    python -m benchmarks.steady --picture kitchen.jpg --text "A small kitchen."

A clip is made of one picture, by default of the miniature world: each frame with sensor noise and exposure of its own,
encoded as H.264 and decoded again. Its median depth should be the same in every frame. Flicker is the mean of
|log(median of a frame / median of the frame before)|, and wander the standard deviation of the log median.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipelines.mini_world.domains import render
from tr2m_plugin.datasets.arrays import read_image
from tr2m_plugin.datasets.videos import Clip
from tr2m_plugin.inference.inferencer import TR2MInferencer
from tr2m_plugin.inference.steady import DELAY, SteadyScale
from tr2m_plugin.inference.video_files import write_video


def noisy(
    image: np.ndarray, count: int, fps: float, noise: float, exposure: float = 0
) -> Iterator[tuple[np.ndarray, float]]:
    """Frames of one picture, with their times."""
    rng = np.random.default_rng(0)
    even = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
    for number in range(count):
        changed = even * (1 + rng.normal(0, exposure)) + rng.normal(0, noise, even.shape)
        yield np.clip(np.round(changed), 0, 255).astype(np.uint8), number / fps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", help="a file (default: a rendered room)")
    parser.add_argument("--text", default="A living room.")
    parser.add_argument("--model", default="tr2m_mini")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--fps", type=float, default=30)
    parser.add_argument("--noise", type=float, default=8, help="standard deviation, of 255 (default: 8)")
    parser.add_argument(
        "--exposure", type=float, default=0.04, help="its deviation from frame to frame (default: 0.04)"
    )
    parser.add_argument("--delay", type=float, default=DELAY)
    args = parser.parse_args()
    logging.getLogger("libav").setLevel(logging.ERROR)
    image = read_image(args.picture) if args.picture else render("rooms", "steady", 0).image
    inferencer, steady = TR2MInferencer(args.model, device=args.device), SteadyScale(args.delay)
    medians: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "still.mp4"
        write_video(path, noisy(image, args.frames, args.fps, args.noise, args.exposure), args.fps)
        frames = list(Clip(path).frames())
    stream = inferencer.stream((frame.image for frame in frames), args.text)
    for frame, found in zip(frames, stream, strict=True):
        held, _ = steady(found, frame.seconds)
        medians.append((float(np.median(found.depth)), float(np.median(held.depth))))
    logs = np.log(medians)
    flicker, wander = np.abs(np.diff(logs, axis=0)).mean(0), logs.std(0)
    for name, (plain, held) in (("flicker", flicker), ("wander", wander)):
        print(f"{name}: {plain:.2%} as predicted, {held:.2%} held steady over {args.delay:g} s: {held / plain:.2f}")


if __name__ == "__main__":
    main()
