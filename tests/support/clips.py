"""Small videos: a bright upper left corner, a bright spot that goes to the right, and a grey that tells the frame."""

from fractions import Fraction

import av
import numpy as np

SIZE = (48, 64)


def picture(number, count):
    """Frame `number` of `count`: red in the upper left, otherwise as grey as it is late."""
    image = np.full((*SIZE, 3), 40 + 160 * number // count, np.uint8)
    image[:16, :16] = (250, 0, 0)
    return image


def encode(path, codec="libx264", count=12, fps=10, pixels="yuv420p", turned=0, times=None, images=None, **options):
    """Writes a clip.

    Args:
        path: file; its extension says the format.
        codec: encoder.
        count: frames.
        fps: frames per second.
        pixels: pixel format.
        turned: counter-clockwise degrees by which players turn it.
        times: seconds of the frames, for a variable frame rate.
        images: instead of `picture`'s.
        **options: of the format.
    """
    images = images or [picture(number, count) for number in range(count)]
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pixels
        if turned:
            stream.set_display_rotation(turned)
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = round(1000 * times[number]), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def encode_sound(path):
    """Writes half a second of silence."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        for _ in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 44100
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
