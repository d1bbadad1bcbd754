from collections import Counter

import pytest
import torch
from mmengine.dataset import DefaultSampler
from torch.utils.data import RandomSampler

from tr2m_plugin.datasets.samplers import ProportionalBatchSampler, RoundRobinBatchSampler, WeightedBatchSampler
from tr2m_plugin.errors import InputError


class Mixture(torch.utils.data.Dataset):
    """Pictures of several datasets, one after the other."""

    def __init__(self, **sizes):
        self.names = [name for name, size in sizes.items() for _ in range(size)]

    def __len__(self):
        return len(self.names)

    def get_data_info(self, index):
        return {"dataset": self.names[index]}


DATA = Mixture(nyu=10, kitti=4, void=7)


def batches(rank=0, world=1, epoch=0, shuffle=True, size=2, data=DATA, kind=RoundRobinBatchSampler, **options):
    sampler = DefaultSampler(data, shuffle=shuffle, seed=3)
    sampler.rank, sampler.world_size = rank, world
    sampler.set_epoch(epoch)
    made = kind(sampler, size, **options)
    out = list(made)
    assert len(out) == len(made)
    return out


def test_each_batch_is_of_one_dataset_and_they_take_turns():
    names = [{DATA.names[i] for i in batch} for batch in batches()]
    assert names == [{"nyu"}, {"kitti"}, {"void"}] * 5
    assert all(len(batch) == 2 for batch in batches())


def test_an_epoch_visits_the_longest_once_and_repeats_the_shorter():
    seen = Counter(i for batch in batches() for i in batch)
    assert [seen[i] for i in range(10)] == [1] * 10
    assert sum(seen[i] for i in range(10, 14)) == 10
    assert {seen[i] for i in range(10, 14)} <= {2, 3}


def test_an_uneven_end_is_filled_from_the_beginning():
    seen = Counter(i for batch in batches(size=4) for i in batch)
    assert sum(seen[i] for i in range(10)) == 12
    assert min(seen[i] for i in range(10)) == 1


def test_epochs_differ_and_repeat_themselves():
    assert batches(epoch=1) == batches(epoch=1) != batches(epoch=2)
    plain = batches(shuffle=False)
    assert plain[:3] == [[0, 1], [10, 11], [14, 15]]


@pytest.mark.parametrize("kind", [RoundRobinBatchSampler, ProportionalBatchSampler, WeightedBatchSampler])
def test_processes_share_one_order_and_are_equally_long(kind):
    one, parts = batches(size=4, kind=kind), [batches(rank=rank, world=2, kind=kind) for rank in range(2)]
    assert len(parts[0]) == len(parts[1]) == len(one)
    for whole, first, second in zip(one, *parts, strict=True):
        assert sorted(whole) == sorted(first + second)


def test_proportional_batches_visit_every_picture_once_in_random_order():
    found = batches(kind=ProportionalBatchSampler)
    seen = Counter(i for batch in found for i in batch)
    assert set(seen) == set(range(21))
    assert sum(seen.values()) == 22, "the last of void's seven is filled up"
    assert all(len({DATA.names[i] for i in batch}) == 1 for batch in found)
    names = [DATA.names[batch[0]] for batch in found]
    assert names != sorted(names, key=["nyu", "kitti", "void"].index)
    assert batches(kind=ProportionalBatchSampler, epoch=1) != found


def test_weighted_batches_are_drawn_by_their_weights():
    weights = {"nyu": 0, "kitti": 3}
    found = batches(kind=WeightedBatchSampler, weights=weights, batches=400)
    names = Counter(DATA.names[batch[0]] for batch in found)
    assert names["nyu"] == 0
    assert 2 < names["kitti"] / names["void"] < 4.5
    seen = Counter(i for batch in found for i in batch)
    assert max(seen[i] for i in range(10, 14)) - min(seen[i] for i in range(10, 14)) <= 1, "repetitions are whole"
    assert len(batches(kind=WeightedBatchSampler)) == 11


@pytest.mark.parametrize("weights", [{"moon": 1}, {"nyu": -1}, {"nyu": 0, "kitti": 0, "void": 0}])
def test_senseless_weights_are_refused(weights):
    with pytest.raises(InputError, match="weights"):
        WeightedBatchSampler(DefaultSampler(DATA), 2, weights)


def test_what_it_needs_is_said():
    with pytest.raises(InputError, match="needs a DefaultSampler"):
        RoundRobinBatchSampler(RandomSampler(DATA), 2)
    nameless = Mixture(a=2)
    nameless.get_data_info = lambda index: {}
    with pytest.raises(InputError, match="does not say which dataset"):
        RoundRobinBatchSampler(DefaultSampler(nameless), 2)
