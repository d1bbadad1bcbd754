"""Finding, shaping and dry-running a named feature."""

import random

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.model import BaseModel
from torch import nn

from tests.support.somebodys_model import Pictures, SomebodysDepthModel
from tr2m_plugin.contrast.feature import as_map, find_submodule, pick
from tr2m_plugin.errors import InputError
from tr2m_plugin.hooks.dry_run import dry_run as first_of


def test_names_of_submodules():
    model = SomebodysDepthModel()
    assert find_submodule(model, "backbone.0") is model.backbone[0]
    assert find_submodule(model, "") is model
    with pytest.raises(
        InputError, match=r"SomebodysDepthModel has no submodule 'backbon.0'; names near it: backbone\.0"
    ):
        find_submodule(model, "backbon.0")


def test_parts_of_an_output():
    output = ({"maps": [1, 2]},)
    assert pick(output, (0, "maps", -1)) == 2
    with pytest.raises(
        InputError, match=r"index \[0, 'map'\] leads nowhere in the hooked output, \[\{maps: \[int, int\]\}\]"
    ):
        pick(output, (0, "map"))


@pytest.mark.parametrize("first", [0, 1, 2, 5])
@pytest.mark.parametrize(
    ("height", "width", "patch"), [(434, 560, 14), (350, 1204, 14), (384, 384, 16), (100, 120, 16), (96, 64, 8)]
)
def test_tokens_become_maps(first, height, width, patch):
    rows, columns = height // patch, width // patch
    patches = torch.arange(2 * rows * columns * 3.0).view(2, rows * columns, 3)
    tokens = torch.cat([torch.full((2, first, 3), -1.0), patches], 1)
    expected = patches.view(2, rows, columns, 3).permute(0, 3, 1, 2)
    assert torch.equal(as_map(tokens, height, width), expected)


@pytest.mark.parametrize("feature", [torch.ones(2, 77, 3), torch.ones(2, 5), [torch.ones(2, 3, 4, 4)], "feature"])
def test_what_is_no_map_is_named(feature):
    with pytest.raises(InputError, match="the hooked feature must be"):
        as_map(feature, 224, 224)
    with pytest.raises(InputError, match=r"not \[\(2, 3, 4, 4\)\]; choose one with `index`"):
        as_map([torch.ones(2, 3, 4, 4)], 224, 224)


def dry_run(model, feature, dataset=None):
    return first_of(model, feature, dataset or Pictures(), pseudo_collate)


def test_a_dry_run_leaves_no_trace():
    class Random(Pictures):
        def __getitem__(self, i):
            random.random(), np.random.rand(), torch.rand(1)
            return super().__getitem__(i)

    model = SomebodysDepthModel(dropout=0.5)
    model.head.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    found = dry_run(model, "backbone", Random())
    assert found.output.shape == (1, 6, 8, 10)
    assert found.size == (16, 20)
    assert modes == [module.training for module in model.modules()]
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[:2]
    assert torch.equal(torch.get_rng_state(), states[2])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_the_copy_holds_the_encoder_alone():
    model = SomebodysDepthModel()
    copied = dry_run(model, "backbone.1").pruned_copy(model, "backbone.1")
    assert [name for name, _ in copied.named_parameters()] == [
        f"backbone.{name}" for name in ("0.weight", "0.bias", "1.weight", "1.bias")
    ]
    with pytest.raises(InputError, match="branch="):
        copied.head(torch.ones(1))


class UncalledParameters(BaseModel):
    """Uses parameters of submodules without calling these."""

    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 1, 1)
        self.tokens = nn.ParameterList([nn.Parameter(torch.ones(1))])

    def forward(self, inputs, data_samples=None, mode="tensor"):
        return self.head(self.stem(torch.stack(list(inputs)) * self.tokens[0]))


def test_a_model_that_cannot_be_pruned_is_copied_whole():
    model = UncalledParameters()
    copied = dry_run(model, "stem").pruned_copy(model, "stem")
    assert copied.state_dict().keys() == model.state_dict().keys()
