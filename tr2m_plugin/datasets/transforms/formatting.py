"""From arrays to what a model takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmengine.structures import PixelData

from tr2m_plugin.datasets.transforms.base import BaseTransform
from tr2m_plugin.registry import TRANSFORMS
from tr2m_plugin.rows import IndexRow
from tr2m_plugin.structures import DepthDataSample

META = ("sample_id", "dataset", "unit", "domain")


def _map(array: np.ndarray) -> PixelData:
    return PixelData(data=torch.from_numpy(np.ascontiguousarray(array, np.float32))[None])


@TRANSFORMS.register_module()
class PackDepthInputs(BaseTransform):
    """Packs the picture as `inputs`, (3, H, W) uint8, and the rest as a `DepthDataSample`."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        row: IndexRow = results["row"]
        sample = DepthDataSample(metainfo={name: getattr(row, name) for name in META})
        sample.set_metainfo({"depth_range": (row.depth_min, row.depth_max), "protocol": row.protocol})
        sample.gt_depth_map = _map(results["gt_depth"])
        if "relative" in results:
            sample.relative_depth_map = _map(results["relative"])
        if "text" in results:
            sample.set_metainfo({"text": results["text"]})
            sample.text_features = torch.from_numpy(results["text_feature"])[None]
        if "tokens" in results:
            sample.image_features = torch.from_numpy(results["tokens"])
        image = torch.from_numpy(np.ascontiguousarray(results["img"].transpose(2, 0, 1)))
        return {"inputs": image, "data_samples": sample}
