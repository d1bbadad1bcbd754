"""A split's samples as stage `evaluate` takes them: read one by one, and through the model in batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tr2m_plugin.datasets.parquet import sample_key
from tr2m_plugin.errors import attempt, reason_of
from tr2m_plugin.structures import DepthDataSample

Item = dict[str, Any]


class Samples:
    """A split's dataset with depth at its own size; what cannot be read is noted and passed over.

    Args:
        root: the profile's folder.
        split: train, val or test.
        aligned: how pictures are stretched, see `stretch_image`. Default: False.

    Attributes:
        failed: why samples could not be read, by their key.
    """

    def __init__(self, root: Path, split: str, aligned: bool = False) -> None:
        from tr2m_plugin.registry import DATASETS, scoped

        steps = [
            {"type": "LoadDepthInputs"},
            {"type": "ResizeDepthInputs", "depth": False, "aligned": aligned},
            {"type": "PackDepthInputs"},
        ]
        pipeline = [{**step, "type": f"tr2m_plugin.{step['type']}"} for step in steps]
        dataset = {"type": "TableDataset", "data_root": str(root), "split": split, "pipeline": pipeline}
        self._data = DATASETS.build(scoped({**dataset, "test_mode": True}))
        self.failed: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._data)

    def info(self, number: int) -> dict[str, Any]:
        """What the tables say of a sample."""
        return self._data.get_data_info(number)

    def __getitem__(self, number: int) -> Item | None:
        """A sample; None where it cannot be read."""
        key = sample_key(self.info(number))
        return None if key in self.failed else attempt(partial(self._data.__getitem__, number), key, self.failed)


class Predictor:
    """Runs a TR2M model on samples with any of their sentences.

    Args:
        model: TR2M.
        device: torch device.
        batch_size: pictures at a time, of one dataset each, since sizes differ between datasets.
        stand_in: embedding of the sentence of rows whose own is None. Default: none.
    """

    def __init__(
        self, model: torch.nn.Module, device: str, batch_size: int, stand_in: np.ndarray | None = None
    ) -> None:
        self.model, self.device, self.batch_size, self.stand_in = model, device, batch_size, stand_in

    @torch.no_grad()
    def __call__(self, data: Samples, texts: Mapping[int, int | None]) -> Iterator[DepthDataSample]:
        """Predicted samples, in order; what cannot be read or predicted is noted in `data.failed`.

        Args:
            data: the samples.
            texts: for each row to predict, the row whose first sentence it gets; None takes the stand-in.
        """
        for _, group in groupby(texts, key=lambda i: data.info(i)["dataset"]):
            numbers = list(group)
            for start in range(0, len(numbers), self.batch_size):
                items = []
                for number in numbers[start : start + self.batch_size]:
                    item = data[number]
                    if item is not None:
                        item["data_samples"].text_features = self._embedding(data, texts[number])
                        items.append(item)
                yield from self._predict(items, data.failed)

    def _predict(self, items: Sequence[Item], failed: dict[str, str]) -> Iterator[DepthDataSample]:
        if not items:
            return
        batch = {name: [item[name] for item in items] for name in ("inputs", "data_samples")}
        try:
            samples = [sample.to("cpu") for sample in self.model.test_step(batch)]
        except Exception as error:  # of one of them: one at a time
            if len(items) == 1:
                sample = items[0]["data_samples"]
                failed[f"{sample.dataset}/{sample.sample_id}"] = reason_of(error)
                return
            for item in items:
                yield from self._predict([item], failed)
            return
        yield from samples

    def _embedding(self, data: Samples, number: int | None) -> torch.Tensor:
        vector = self.stand_in if number is None else data.info(number)["text_features"][0]
        return torch.from_numpy(np.asarray(vector, np.float32))[None]
