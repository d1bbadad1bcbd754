"""One image's numbers by its protocol: what the command, the pipeline and MMEngine's runner all count with."""

from __future__ import annotations

import numpy as np

from tr2m_plugin.evaluation.metrics import METRICS, depth_metrics
from tr2m_plugin.evaluation.protocols import Protocol


def measure(depth: np.ndarray, truth: np.ndarray, protocol: Protocol) -> dict[str, float | None]:
    """The metrics of one image and how many of its pixels counted.

    Args:
        depth: predicted depth, (h, w), in the truth's unit.
        truth: true depth, (H, W), 0 = no measurement.
        protocol: by which they are compared.

    Returns:
        A value per name of `METRICS`, None where no pixel counted, and `pixels`.
    """
    compared = protocol.compare(depth, truth)
    pixels = len(compared[1])
    return {**(depth_metrics(*compared) if pixels else dict.fromkeys(METRICS)), "pixels": pixels}
