"""Models whose numbers, or half of them, the pipeline has precomputed, behind the interface of estimators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.model import BaseModel, BaseModule
from mmengine.structures import PixelData

from tr2m_plugin.benchmark.estimators import Estimator, Facts, Returns
from tr2m_plugin.checkpoint import state_hash
from tr2m_plugin.datasets.arrays import read_array
from tr2m_plugin.datasets.parquet import read_text_features
from tr2m_plugin.datasets.readers import load_picture
from tr2m_plugin.inference.model_folder import ModelSpec, describe_model
from tr2m_plugin.registry import MODELS, scoped
from tr2m_plugin.rows import IndexRow
from tr2m_plugin.structures import DepthDataSample
from tr2m_plugin.tensors import stretch_image


class PrecomputedRelativeDepth(Estimator):
    """The relative depth network, whose maps lie in shards.

    Args:
        arrays: by the pictures' keys where their maps are.
        name: name of the network.
    """

    returns = Returns("disparity", metric=False)
    computes = False
    takes_mirrors = False

    def __init__(self, arrays: Mapping[str, str], name: str) -> None:
        self.arrays = arrays
        self.facts = Facts(name, name, "", {"type": "I → R", "backbone": name, "domains": "Multiple"})

    def read(self, row: IndexRow) -> np.ndarray:
        return read_array(self.arrays[row.key]).astype(np.float32)

    def predict(
        self, images: Sequence[np.ndarray], texts: Sequence[str], size: Sequence[int] | None = None
    ) -> list[np.ndarray]:
        return list(images)


class TableTR2M(Estimator):
    """TR2M on precomputed relative depth and embedded sentences.

    Args:
        model: TR2M.
        spec: what is kept of its folder.
        root: the profile's folder, with the table of embedded sentences.
        arrays: by the pictures' keys where their relative depth is.
        device: torch device.
        suffix: suffix of its label. Default: none.
    """

    returns = Returns("depth", metric=True)
    needs_text = True
    computes = False
    takes_mirrors = False

    def __init__(
        self,
        model: BaseModel,
        spec: ModelSpec,
        root: Path,
        arrays: Mapping[str, str],
        device: str,
        suffix: str = "",
    ) -> None:
        self.model, self.spec, self.arrays, self.device = model, spec, arrays, device
        self.aligned = bool(spec.relative_depth.get("aligned", False))
        self._rows, self._features = read_text_features(root / "text_features.parquet")
        self._others: dict[str, np.ndarray] = {}
        name, about = describe_model(model, spec)
        self.facts = Facts(name + suffix, "model", state_hash(model), {**about, "domains": "Multiple"})

    def read(self, row: IndexRow) -> tuple[np.ndarray, np.ndarray]:
        """The picture, (h, w, 3), at the size of its relative depth, and that, (h, w)."""
        relative = read_array(self.arrays[row.key]).astype(np.float32)
        return stretch_image(load_picture(row), (relative.shape[0], relative.shape[1]), self.aligned), relative

    def predict(
        self, images: Sequence[Any], texts: Sequence[str], size: Sequence[int] | None = None
    ) -> list[np.ndarray]:
        return [sample.pred_depth_map.data[0].numpy() for sample in self.samples(images, texts)]

    @torch.no_grad()
    def samples(self, inputs: Sequence[Any], texts: Sequence[str]) -> list[DepthDataSample]:
        """Predicted samples, with scale and shift maps too, of what `read` gave."""
        pictures = [torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))) for image, _ in inputs]
        samples = []
        for (_, relative), text in zip(inputs, texts, strict=True):
            sample = DepthDataSample(relative_depth_map=PixelData(data=torch.from_numpy(relative)[None]))
            sample.text_features = torch.from_numpy(self._embedding(text))[None]
            samples.append(sample)
        found = self.model.test_step({"inputs": pictures, "data_samples": samples})
        return [sample.to("cpu") for sample in found]

    def _embedding(self, text: str) -> np.ndarray:
        """A sentence's embedding, (T,): of the table, or else by the text encoder that the model was trained with."""
        if text in self._rows:
            return np.asarray(self._features[self._rows[text]], np.float32)
        if text not in self._others:
            self._others[text] = self._encoder([text])[0, 0].cpu().numpy()
        return self._others[text]

    @cached_property
    def _encoder(self) -> BaseModule:
        return MODELS.build(scoped(self.spec.text_encoder)).to(self.device)
