"""The contrast in a loop of one's own, without MMEngine's runner."""

import copy
import doctest
import gc
import weakref

import pytest
import torch

from tests.support.somebodys_model import HOOK, Pictures, SomebodysDepthModel, Watch, assert_equal, run, soc
from tr2m_plugin.contrast import ScaleOrientedContrast, scale_oriented_contrast
from tr2m_plugin.contrast.feature import DryRun
from tr2m_plugin.errors import InputError
from tr2m_plugin.hooks.soc_hook import PROJECTOR

OPTIONS = {"projector": HOOK["projector"], "in_channels": 6}


def batch(number):
    """Pictures, samples and depth of the batches of four that the runner's loader gives."""
    items = [Pictures()[i % 12] for i in range(4 * number, 4 * number + 4)]
    samples = [item["data_samples"] for item in items]
    return torch.stack([item["inputs"] for item in items]), samples, torch.stack([s.gt_depth_map.data for s in samples])


def loop(model, contrast, iterations):
    """A training loop as people write it; the contrast's losses."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer.add_param_group({"params": contrast.parameters()})
    model.train()
    losses = []
    for number in range(iterations):
        inputs, samples, depth = batch(number)
        loss = model(inputs, samples, mode="loss")["loss_depth"]
        losses.append(contrast(depth))
        optimizer.zero_grad()
        (loss + losses[-1]).backward()
        optimizer.step()
        contrast.update()
    return [loss.item() for loss in losses]


def test_a_loop_of_ones_own_equals_the_hook_to_the_bit(tmp_path):
    first, logged = {}, []

    def keep(runner):
        first.update(copy.deepcopy(getattr(runner.model, PROJECTOR).state_dict()))

    def log(runner, outputs):
        logged.append(outputs["loss_soc"].item())

    runner = run(tmp_path, extra=[Watch(before_train=keep, after_train_iter=log)], iterations=5)
    model = SomebodysDepthModel()
    contrast = ScaleOrientedContrast(model, "backbone", **OPTIONS)
    contrast.projector.load_state_dict(first)
    assert loop(model, contrast, 5) == logged
    names = dict(runner.model.named_parameters()) | dict(runner.model.named_buffers())
    trained = dict(model.named_parameters()) | dict(model.named_buffers())
    assert_equal({name: value for name, value in names.items() if PROJECTOR not in name}, trained)
    assert_equal(dict(getattr(runner.model, PROJECTOR).state_dict()), dict(contrast.projector.state_dict()))
    theirs, own = (c.key.state_dict() for c in (soc(runner).contrast, contrast))
    assert_equal(theirs, {name: own[name] for name in theirs})


def test_it_goes_on_from_its_state():
    model = SomebodysDepthModel()
    contrast = ScaleOrientedContrast(model, "backbone", **OPTIONS)
    loop(model, contrast, 2)
    weights, state = copy.deepcopy(model.state_dict()), copy.deepcopy(contrast.state_dict())
    expected = loop(model, contrast, 2)
    again = SomebodysDepthModel()
    again.load_state_dict(weights)
    resumed = ScaleOrientedContrast(again, "backbone", **OPTIONS)
    resumed.load_state_dict(state)
    assert loop(again, resumed, 2) == expected
    with pytest.raises(InputError, match=r"with feature='backbone', not with feature='backbone.0'$"):
        ScaleOrientedContrast(again, "backbone.0", **OPTIONS).load_state_dict(state)


def test_the_key_branch_starts_from_the_weights_of_the_first_forward():
    model = SomebodysDepthModel()
    contrast = ScaleOrientedContrast(model, "backbone", **OPTIONS)
    with torch.no_grad():
        model.backbone[0].weight.mul_(3)
    inputs, samples, depth = batch(0)
    model(inputs, samples, mode="loss")
    contrast(depth)
    assert torch.equal(contrast.key.module["branch"].backbone[0].weight, model.backbone[0].weight)


def test_a_dry_run_finds_channels_and_what_the_branch_needs():
    model = SomebodysDepthModel()
    dry_run = DryRun(model, "backbone", (batch(0)[0][:1],))
    contrast = ScaleOrientedContrast(model, "backbone", projector=OPTIONS["projector"], dry_run=dry_run)
    assert contrast.in_channels == 6
    assert not any("head" in name for name, _ in contrast.key.named_parameters())
    assert all(loss > 0 for loss in loop(model, contrast, 2))
    with pytest.raises(InputError, match=r"how many channels has 'backbone'\? Give in_channels"):
        ScaleOrientedContrast(model, "backbone")


def test_without_a_forward_in_training_it_says_so():
    model = SomebodysDepthModel()
    contrast = ScaleOrientedContrast(model, "backbone", **OPTIONS)
    inputs, _, depth = batch(0)
    model.eval()(inputs)
    with pytest.raises(InputError, match="the model's forward in training never ran 'backbone'"):
        contrast(depth)


def test_a_method_of_the_model_is_not_a_call_of_it():
    model = SomebodysDepthModel()
    contrast = ScaleOrientedContrast(model, "backbone", **OPTIONS)
    inputs, _, depth = batch(0)
    model.backbone(inputs)
    with pytest.raises(InputError, match=r"'backbone' ran, but the model was not called .* branch='...'"):
        contrast(depth)
    part = ScaleOrientedContrast(model, "backbone", branch="backbone", **OPTIONS)
    model.backbone(inputs)
    assert part(depth) > 0


def test_depth_has_a_channel():
    model = SomebodysDepthModel()
    contrast = ScaleOrientedContrast(model, "backbone", **OPTIONS)
    inputs, _, depth = batch(0)
    model(inputs)
    with pytest.raises(InputError, match=r"true depth must be \(B, 1, H, W\), not \(4, 16, 20\)"):
        contrast(depth[:, 0])


def test_the_model_does_not_keep_it():
    model = SomebodysDepthModel()
    contrast = weakref.ref(ScaleOrientedContrast(model, "backbone", **OPTIONS))
    gc.collect()
    assert contrast() is None
    inputs, samples, _ = batch(0)
    model(inputs, samples, mode="loss")


def test_the_example_runs():
    assert doctest.testmod(scale_oriented_contrast).attempted >= 10
    assert doctest.testmod(scale_oriented_contrast).failed == 0
