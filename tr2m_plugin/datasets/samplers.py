"""The order in which a mixture of datasets is drawn: batches of one dataset each, so that picture sizes may differ."""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Mapping

import torch
from mmengine.dataset import DefaultSampler
from torch import Generator, Tensor
from torch.utils.data import Sampler

from tr2m_plugin.errors import InputError
from tr2m_plugin.registry import DATA_SAMPLERS


class MixtureBatchSampler(Sampler):
    """Base of batch samplers whose batches hold pictures of one dataset each.

    In distributed training the batches of all processes together are cut from one order, so that every process draws
    the same dataset at the same time and an epoch has the same length everywhere.

    Args:
        sampler: MMEngine's `DefaultSampler`, of which dataset, seed, epoch, rank and shuffling are taken; its dataset's
            `get_data_info` must name the `dataset` of every picture, as `TableDataset` does.
        batch_size: pictures per batch and process.

    Attributes:
        groups: numbers of the pictures by dataset.

    Raises:
        InputError: the sampler is another one, or the dataset names no datasets.
    """

    def __init__(self, sampler: DefaultSampler, batch_size: int) -> None:
        if not isinstance(sampler, DefaultSampler):
            raise InputError(f"{type(self).__name__} needs a DefaultSampler beside it, not a {type(sampler).__name__}")
        self.sampler, self.batch_size = sampler, batch_size
        groups: dict[str, list[int]] = defaultdict(list)
        for index in range(len(sampler.dataset)):
            info = sampler.dataset.get_data_info(index)
            if "dataset" not in info:
                raise InputError(f"picture {index} does not say which dataset it is from: give it a field 'dataset'")
            groups[info["dataset"]].append(index)
        self.groups = {name: torch.tensor(indices) for name, indices in groups.items()}

    @property
    def span(self) -> int:
        """Pictures per batch of all processes together."""
        return self.batch_size * self.sampler.world_size

    def rounds(self, name: str) -> int:
        """How many batches of all processes a dataset fills."""
        return -(-len(self.groups[name]) // self.span)

    @abstractmethod
    def schedule(self, generator: Generator) -> list[str]:
        """The dataset of every batch of an epoch; the same in all processes, and always of the same length."""

    def __len__(self) -> int:
        return len(self.schedule(Generator()))

    def _order(self, indices: Tensor, rounds: int, generator: Generator) -> Tensor:
        """Enough of a dataset for that many rounds, repeated in new orders."""
        needed = rounds * self.span
        parts = [indices[:0]]
        for _ in range(-(-needed // len(indices))):
            shuffled = torch.randperm(len(indices), generator=generator) if self.sampler.shuffle else slice(None)
            parts.append(indices[shuffled])
        return torch.cat(parts)[:needed]

    def __iter__(self) -> Iterator[list[int]]:
        generator = Generator().manual_seed(self.sampler.seed + self.sampler.epoch)
        schedule = self.schedule(generator)
        orders = {name: self._order(found, schedule.count(name), generator) for name, found in self.groups.items()}
        used = dict.fromkeys(orders, 0)
        for name in schedule:
            start = used[name]
            used[name] += self.span
            yield orders[name][start + self.sampler.rank : start + self.span : self.sampler.world_size].tolist()


@DATA_SAMPLERS.register_module()
class RoundRobinBatchSampler(MixtureBatchSampler):
    """The datasets in turn; the shorter ones are repeated until the longest is through.

    So does the authors' release train on its four datasets. An epoch is one visit of every picture of the longest
    dataset, whose last batch is filled from its beginning; each repetition of a shorter one has an order of its own.

    Args:
        sampler: see `MixtureBatchSampler`.
        batch_size: see `MixtureBatchSampler`.
    """

    def schedule(self, generator: Generator) -> list[str]:
        return list(self.groups) * max(map(self.rounds, self.groups))


@DATA_SAMPLERS.register_module()
class ProportionalBatchSampler(MixtureBatchSampler):
    """Every picture of every dataset once per epoch, the batches in random order.

    A dataset's last batch is filled from its beginning.

    Args:
        sampler: see `MixtureBatchSampler`.
        batch_size: see `MixtureBatchSampler`.
    """

    def schedule(self, generator: Generator) -> list[str]:
        names = [name for name in self.groups for _ in range(self.rounds(name))]
        if not self.sampler.shuffle:
            return names
        return [names[i] for i in torch.randperm(len(names), generator=generator).tolist()]


@DATA_SAMPLERS.register_module()
class WeightedBatchSampler(MixtureBatchSampler):
    """The dataset of every batch drawn by given weights.

    Args:
        sampler: see `MixtureBatchSampler`.
        batch_size: see `MixtureBatchSampler`.
        weights: weights of the datasets by name; 0 leaves one out, those not named have 1. Default: all alike.
        batches: per epoch and process. Default: as many as all pictures fill.

    Raises:
        InputError: a weight is negative, names no dataset, or all are 0.
    """

    def __init__(
        self,
        sampler: DefaultSampler,
        batch_size: int,
        weights: Mapping[str, float] | None = None,
        batches: int | None = None,
    ) -> None:
        super().__init__(sampler, batch_size)
        unknown = sorted(set(weights or {}) - set(self.groups))
        if unknown:
            raise InputError(f"weights name {', '.join(unknown)}; there are {', '.join(self.groups)}")
        self.weights = torch.tensor([float((weights or {}).get(name, 1.0)) for name in self.groups])
        if (self.weights < 0).any() or not self.weights.any():
            raise InputError(
                f"weights must be positive, or 0 for datasets that are left out, not {dict(weights or {})}"
            )
        self.batches = sum(map(self.rounds, self.groups)) if batches is None else batches

    def schedule(self, generator: Generator) -> list[str]:
        names = list(self.groups)
        drawn = torch.multinomial(self.weights, self.batches, replacement=True, generator=generator)
        return [names[i] for i in drawn.tolist()]
