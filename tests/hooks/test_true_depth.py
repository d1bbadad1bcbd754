"""True depth among the inputs of somebody's model, in the shapes in which it comes."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, PixelData
from torch import nn

from tr2m_plugin.errors import InputError
from tr2m_plugin.hooks.true_depth import TrueDepth, forward_inputs
from tr2m_plugin.losses import ScaleOrientedContrastLoss
from tr2m_plugin.registry import FUNCTIONS

DEPTH = torch.arange(1.0, 25).view(2, 1, 3, 4)
IMAGE = torch.zeros(2, 3, 3, 4)


def elements(wrap=lambda depth: PixelData(data=depth), **fields):
    return [
        BaseDataElement(metainfo={"sample_id": str(i)}, depth=wrap(depth), **fields) for i, depth in enumerate(DEPTH)
    ]


@dataclass
class Sample:
    depth: torch.Tensor


@pytest.mark.parametrize(
    ("gt", "inputs"),
    [
        ("depth", {"data_samples": elements()}),
        ("depth", {"data_samples": elements(lambda depth: depth)}),
        ("depth", {"data_samples": elements(lambda depth: PixelData(data=depth[0]))}),
        ("depth", {"data_samples": [{"depth": depth} for depth in DEPTH]}),
        ("depth", {"data_samples": [{"depth": depth[0].numpy()} for depth in DEPTH]}),
        ("depth", {"data_samples": [Sample(depth) for depth in DEPTH]}),
        ("depth", {"data_samples": {"depth": DEPTH}}),
        ("depth", {"data_samples": {"depth": DEPTH[:, 0]}}),
        ("depth", {"data_samples": {"depth": list(DEPTH)}}),
        ("depth", {"inputs": IMAGE, "depth": DEPTH.double().numpy()}),
        ("depth", {"inputs": IMAGE, "depth": DEPTH.numpy().astype("uint16"), "data_samples": None}),
        ("depth", {"inputs": IMAGE, "depth": list(DEPTH), "data_samples": elements()}),
        ("targets.depth", {"inputs": IMAGE, "targets": {"depth": DEPTH}}),
        ("targets.depth", {"inputs": IMAGE, "targets": [{"depth": depth} for depth in DEPTH]}),
        ("targets.1.depth", {"inputs": IMAGE, "targets": (None, {"depth": DEPTH})}),
        ("maps.true.depth", {"data_samples": [{"maps": {"true": {"depth": depth}}} for depth in DEPTH]}),
    ],
)
def test_a_name_or_a_path(gt, inputs):
    found = TrueDepth(gt)(inputs)
    assert found.is_floating_point()
    torch.testing.assert_close(found, DEPTH, check_dtype=False, rtol=0, atol=0)


@FUNCTIONS.register_module()
def scaled_depth(depth, factor):
    return depth * factor


def depth_of(samples):
    return torch.stack([sample.depth.data for sample in samples])


@pytest.mark.parametrize(
    ("gt", "inputs"),
    [
        (depth_of, {"data_samples": elements()}),
        (lambda samples: depth_of(samples), {"inputs": IMAGE, "data_samples": elements(), "depth": None}),
        (lambda depth: depth, {"inputs": IMAGE, "depth": DEPTH}),
        (lambda inputs, depth: depth + inputs[:, :1], {"inputs": IMAGE, "depth": DEPTH}),
        (lambda depth, missing=None: depth, {"inputs": IMAGE, "depth": DEPTH}),
        (lambda **inputs: inputs["depth"], {"inputs": IMAGE, "depth": DEPTH}),
        (partial(scaled_depth, factor=1), {"inputs": IMAGE, "depth": DEPTH, "factor": 7}),
        ({"type": "scaled_depth", "factor": 1}, {"inputs": IMAGE, "depth": DEPTH}),
    ],
)
def test_a_function_gets_what_it_names(gt, inputs):
    assert torch.equal(TrueDepth(gt)(inputs), DEPTH)


@pytest.mark.parametrize(
    ("gt", "inputs", "message"),
    [
        (
            "gt_depth_map",
            {"data_samples": elements()},
            'depth in every sample: sample 0 has no gt_depth_map, only depth; perhaps gt="depth"$',
        ),
        ("gt_depth_map", {"data_samples": [{"depth": 1, "mask": 2}]}, 'only depth, mask; perhaps gt="depth"$'),
        (
            "gt_depth_map",
            {"inputs": IMAGE, "depth": DEPTH},
            'without data_samples and without gt_depth_map, only with inputs, depth: set `gt` to "depth" or to a func',
        ),
        ("gt_depth_map", {"x": IMAGE, "targets": {"gt_depth": DEPTH}}, 'set `gt` to "targets.gt_depth" or to a func'),
        ("gt_depth_map", {"x": IMAGE}, "only with x: set `gt` to the argument that holds true depth or to a function"),
        ("targets.depth", {"targets": {"mask": DEPTH}}, "sample 0 has no depth, only mask$"),
        ("depth", {"data_samples": DEPTH}, "sample 0 has no depth, only Tensor$"),
        ("depth", {"data_samples": [{"depth": "far"}]}, "must be (B, 1, H, W), not list: see SOCHook's `gt`"),
        ("depth", {"depth": DEPTH.expand(2, 3, 3, 4)}, "must be (B, 1, H, W), not (2, 3, 3, 4)"),
        ("depth", {"depth": [torch.ones(3, 4, 1), torch.ones(3, 4, 1)]}, "must be (B, 1, H, W), not (2, 3, 4, 1)"),
        ("depth", {"depth": [torch.ones(3, 4), torch.ones(3, 5)]}, "depth in every sample: stack expects each tensor"),
        (depth_of, {"inputs": IMAGE, "depth": DEPTH}, "wants samples, but the model was called with inputs, depth: na"),
        (
            lambda a, b: a,
            {"inputs": IMAGE, "data_samples": 1},
            "wants a, b, but the model was called with inputs, data",
        ),
        ({"type": "nowhere"}, {}, "no function 'nowhere'"),
    ],
)
def test_what_is_missing_is_named_and_what_could_be_it_offered(gt, inputs, message):
    with pytest.raises(InputError) as caught:
        TrueDepth(gt)(inputs)
    assert message.rstrip("$") in str(caught.value)
    assert not message.endswith("$") or str(caught.value).endswith(message[:-1])


class Model(nn.Module):
    def forward(self, inputs, samples=None, mode="tensor", **others):
        return inputs


@pytest.mark.parametrize(
    ("args", "kwargs", "names"),
    [
        ((), {"inputs": 1, "samples": 2, "mode": "loss"}, {"inputs", "samples"}),
        ((1, 2), {"mode": "loss"}, {"inputs", "samples", "data_samples"}),
        ((1,), {"data_samples": 2, "depth": 3, "mode": "loss"}, {"inputs", "data_samples", "depth"}),
    ],
)
def test_inputs_have_the_names_of_the_forwards_arguments(args, kwargs, names):
    found = forward_inputs(Model(), args, kwargs)
    assert found.keys() == names
    assert found["inputs"] == 1
    assert found.get("data_samples", 2) == 2


@pytest.mark.parametrize("invalid", [-1.0, float("nan"), float("inf"), -float("inf")])
def test_what_is_no_measurement_counts_as_zero_does(invalid):
    """As docs/soc.md says of true depth."""
    generator = torch.Generator().manual_seed(0)
    query, key = torch.rand(2, 2, 4, 6, 8, generator=generator)
    query.requires_grad_()
    losses = []
    for value in (0.0, invalid):
        depth = torch.linspace(1, 5, 48).view(1, 1, 6, 8).repeat(2, 1, 1, 1)
        depth[:, :, 2:4, 3:] = value
        loss = ScaleOrientedContrastLoss(5)(query, [key], depth, [depth])
        (gradient,) = torch.autograd.grad(loss, query)
        losses.append((loss, gradient))
    assert losses[0][0] == losses[1][0] > 0
    assert torch.equal(losses[0][1], losses[1][1])
    measured = torch.as_tensor(np.array([0, 500, 900], "uint16").astype("int32"))
    assert TrueDepth("depth")({"depth": measured.view(1, 1, 3)}).dtype == torch.float32
