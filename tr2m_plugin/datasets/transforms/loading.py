"""Reading what a row of the dataset points to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from tr2m_plugin.datasets.arrays import read_array
from tr2m_plugin.datasets.readers import load_depth, load_picture
from tr2m_plugin.datasets.transforms.base import BaseTransform
from tr2m_plugin.registry import TRANSFORMS
from tr2m_plugin.rows import IndexRow


def within(depth: np.ndarray, low: float | None, high: float | None) -> np.ndarray:
    """Depth whose pixels outside a range, both ends of which belong to it, hold no measurement; None leaves an end."""
    inside = (depth >= (-np.inf if low is None else low)) & (depth <= (np.inf if high is None else high))
    return np.where(inside, depth, np.float32(0))


@TRANSFORMS.register_module()
class LoadDepthInputs(BaseTransform):
    """Loads picture, depth, relative depth and one sentence.

    What is read is what the row's reader makes of the files, cropped and resized where its protocol says so. Adds `img`
    (H, W, 3) uint8 RGB and `gt_depth` (H, W) float32 in the dataset's unit with 0 = no measurement (all zero
    without ground truth, and outside `truth_range`, the nearest and farthest depth, where that is given); where the
    dataset has them, `relative` (h, w) float32, `text` and `text_feature` (T,)
    float32, and `tokens` (P, C).

    Args:
        text: `random` draws one of the sentences at every visit, as in training; `first` takes the first, as in
            evaluation. Default: first.
        source: for `first`, the source whose first sentence is taken, where a picture has one of it. Default: any.
        weights: for `random`, how much more often a source's sentences are drawn than those of sources that are not
            named, which have 1; 0 leaves a source out where there is another. Default: all alike.
    """

    def __init__(
        self,
        text: Literal["random", "first"] = "first",
        source: str | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        self.text, self.source, self.weights = text, source, dict(weights or {})

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        row: IndexRow = results["row"]
        results["img"] = load_picture(row)
        size = results["img"].shape[:2]
        results["gt_depth"] = np.zeros(size, np.float32) if row.depth is None else load_depth(row)
        if results.get("truth_range"):
            results["gt_depth"] = within(results["gt_depth"], *results["truth_range"])
        if results["relative_depth"] is not None:
            results["relative"] = read_array(results["relative_depth"]).astype(np.float32)
        if results["image_features"] is not None:
            results["tokens"] = read_array(results["image_features"])
        if results["texts"] is None:
            return results
        choice = self._choose(results)
        results["text"] = results["texts"][choice]
        results["text_feature"] = np.asarray(results["text_features"][choice], np.float32)
        return results

    def _choose(self, results: dict[str, Any]) -> int:
        sources = results.get("text_sources") or [None] * len(results["texts"])
        if self.text == "first":
            return sources.index(self.source) if self.source in sources else 0
        weights = np.array([self.weights.get(source, 1.0) for source in sources])
        if not self.weights or not weights.any():
            return int(np.random.randint(len(sources)))
        return int(np.random.choice(len(sources), p=weights / weights.sum()))
