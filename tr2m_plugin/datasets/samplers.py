"""The order in which a mixture of datasets is drawn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import torch
from mmengine.dataset import DefaultSampler
from torch.utils.data import Sampler

from tr2m_plugin.errors import InputError
from tr2m_plugin.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class RoundRobinBatchSampler(Sampler):
    """Batches of one dataset each, taken in turn; the shorter datasets are repeated until the longest is through.

    So does the authors' release train on its four datasets. A batch holds pictures of one dataset only, so datasets may
    differ in picture size. An epoch is one visit of every picture of the longest dataset, whose last batch is filled
    from its beginning; each repetition of a shorter one has an order of its own. In distributed training the batches of
    all processes together are cut from one order, and an epoch has the same length everywhere.

    Args:
        sampler: MMEngine's `DefaultSampler`, of which dataset, seed, epoch, rank and shuffling are taken; its dataset's
            `get_data_info` must name the `dataset` of every picture, as `TableDataset` does.
        batch_size: pictures per batch and process.

    Raises:
        InputError: the sampler is another one, or the dataset names no datasets.
    """

    def __init__(self, sampler: DefaultSampler, batch_size: int) -> None:
        if not isinstance(sampler, DefaultSampler):
            raise InputError(f"RoundRobinBatchSampler needs a DefaultSampler beside it, not a {type(sampler).__name__}")
        self.sampler, self.batch_size = sampler, batch_size
        groups: dict[str, list[int]] = defaultdict(list)
        for index in range(len(sampler.dataset)):
            info = sampler.dataset.get_data_info(index)
            if "dataset" not in info:
                raise InputError(f"picture {index} does not say which dataset it is from: give it a field 'dataset'")
            groups[info["dataset"]].append(index)
        self.groups = {name: torch.tensor(indices) for name, indices in groups.items()}
        self.rounds = -(-max(map(len, groups.values())) // (batch_size * sampler.world_size))

    def __len__(self) -> int:
        return self.rounds * len(self.groups)

    def _order(self, indices: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Enough of a dataset for all rounds, repeated in new orders."""
        needed = self.rounds * self.batch_size * self.sampler.world_size
        parts = []
        for _ in range(-(-needed // len(indices))):
            shuffled = torch.randperm(len(indices), generator=generator) if self.sampler.shuffle else slice(None)
            parts.append(indices[shuffled])
        return torch.cat(parts)[:needed]

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(self.sampler.seed + self.sampler.epoch)
        orders = [self._order(indices, generator) for indices in self.groups.values()]
        span = self.batch_size * self.sampler.world_size
        for start in range(0, self.rounds * span, span):
            for order in orders:
                yield order[start + self.sampler.rank : start + span : self.sampler.world_size].tolist()
