"""One global scale over the frames of a video, which networks that see single pictures let flicker."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np

from tr2m_plugin.errors import InputError
from tr2m_plugin.inference.outputs import Prediction

DELAY = 0.5
"""Time constant of the filter in seconds."""

CUT = 30.0
"""A scene is cut where two frames, averaged to `SEEN` pixels, differ by more than so much of 255 in the mean."""

SEEN = (32, 32)
SAMPLED = 64
"""The ratio of two depth maps is measured at about so many rows and columns."""


class SteadyScale:
    """A causal filter of the scale of depth, an exponential one over the logarithm of the scale.

    From frame to frame, the scale changes by the median over the pixels of depth_t / depth_(t-1). Its logarithm r_t is
    followed with a delay: depth is multiplied by exp(c_t), where c_t = (1 - a) (c_(t-1) - r_t) and
    a = 1 - exp(-seconds between the frames / delay). Flicker is averaged away, whereas a true change, as of a camera
    that goes forward, arrives `delay` seconds late. At a cut of the scene (`CUT`) it begins anew, with c = 0.

    Args:
        delay: the time constant in seconds. Default: 0.5.

    Raises:
        InputError: the delay is not a finite number above 0.

    Example:
        >>> steady = SteadyScale()
        >>> for number, found in enumerate(inferencer.stream(frames, text)):
        ...     held, factor = steady(found, number / 30)
    """

    def __init__(self, delay: float = DELAY) -> None:
        if not 0 < delay < math.inf:
            raise InputError(f"the delay of a steady scale is a number of seconds above 0, not {delay!r}")
        self.delay = delay
        self._correction = 0.0
        self._before: tuple[float, np.ndarray, np.ndarray] | None = None

    def __call__(self, found: Prediction, seconds: float) -> tuple[Prediction, float]:
        """The prediction of the next frame with the steady scale, and the factor of its depth, 1 after a cut.

        Args:
            found: the prediction, of the same size as those before.
            seconds: time of the frame.
        """
        picture = cv2.resize(found.image, SEEN, interpolation=cv2.INTER_AREA).astype(np.float32)
        rows, columns = (max(side // SAMPLED, 1) for side in found.depth.shape)
        logs = np.log(found.depth[::rows, ::columns])
        if self._before is None or np.abs(picture - self._before[1]).mean() > CUT:
            self._correction = 0.0
        else:
            kept = math.exp(-max(seconds - self._before[0], 0) / self.delay)
            self._correction = kept * (self._correction - float(np.median(logs - self._before[2])))
        self._before = (seconds, picture, logs)
        factor = np.float32(math.exp(self._correction))
        scaled = replace(found, depth=found.depth * factor, scale=found.scale / factor, shift=found.shift / factor)
        return scaled, float(factor)
