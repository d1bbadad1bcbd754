"""Scale-oriented contrast on a depth model that knows nothing of it."""

import copy

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.structures import PixelData
from torch import nn

from tests.support.somebodys_model import HOOK, Pictures, SomebodysDepthModel, Watch, run, soc
from tr2m_plugin.errors import InputError
from tr2m_plugin.hooks.soc_hook import PROJECTOR, SOCHook
from tr2m_plugin.losses import ScaleOrientedContrastLoss
from tr2m_plugin.registry import FUNCTIONS


def test_it_trains_model_and_projector_and_logs_its_loss(tmp_path):
    start = SomebodysDepthModel()
    runner = run(tmp_path, model=copy.deepcopy(start))
    names = dict(runner.model.named_parameters())
    assert any(name.startswith(PROJECTOR) for name in names)
    optimized = {id(p) for group in runner.optim_wrapper.param_groups for p in group["params"]}
    assert all(id(p) in optimized for p in names.values())
    assert "train/loss_soc" in runner.message_hub.log_scalars
    assert not torch.equal(names["backbone.0.weight"], start.backbone[0].weight)


def test_the_defaults_are_the_papers():
    hook = SOCHook("backbone")
    assert (hook.loss.num_classes, hook.loss.loss_weight, 1 - hook.momentum) == (20, 0.1, 0.99)
    assert (hook.keys, hook.loss.negative_reduction, hook.loss.depth_range) == (("self", "shuffled"), "sum", None)


@pytest.mark.parametrize(
    "options",
    [{}, {"keys": ["self"]}, {"num_classes": 5, "negative_reduction": "mean"}, {"depth_range": (1.0, 4.0)}],
    ids=str,
)
def test_the_loss_is_the_one_of_the_functions(tmp_path, options):
    """At the first iteration the key branch is a copy, so the loss can be computed by hand."""
    model = SomebodysDepthModel()
    items = [Pictures()[i] for i in range(4)]
    images = torch.stack([i["inputs"] for i in items])
    depth = torch.stack([i["data_samples"].gt_depth_map.data for i in items])
    still = {"optimizer": {"type": "SGD", "lr": 0.0}}
    runner = run(tmp_path, {**HOOK, **options}, model=copy.deepcopy(model), iterations=1, optim=still)
    logged = runner.message_hub.get_scalar("train/loss_soc").current()

    projector = copy.deepcopy(getattr(runner.model, PROJECTOR))
    key = projector(copy.deepcopy(model).eval().backbone(images))
    query = projector(model.train().backbone(images))
    keys, depths = ([key], [depth]) if "keys" in options else ([key, key.roll(1, 0)], [depth, depth.roll(1, 0)])
    loss = ScaleOrientedContrastLoss(**{k: v for k, v in options.items() if k != "keys"})
    assert logged == pytest.approx(loss(query, keys, depth, depths).item(), rel=1e-5)


def test_the_key_branch_is_the_moving_average(tmp_path):
    history = []

    def keep(runner, outputs):
        key = soc(runner).contrast.key.module["branch"].backbone[0].weight
        history.append((runner.model.backbone[0].weight.detach().clone(), key.clone()))

    run(tmp_path, {**HOOK, "momentum": 0.25}, extra=[Watch(after_train_iter=keep)])
    expected = SomebodysDepthModel().backbone[0].weight.detach()
    for i, (online, key) in enumerate(history):
        expected = 0.75 * expected + 0.25 * online
        torch.testing.assert_close(key, expected, msg=f"iteration {i}")


@pytest.mark.parametrize(
    ("options", "on"),
    [
        ({"start": 2, "by_epoch": False}, [0, 0, 1, 1]),
        ({"start": 0, "by_epoch": True}, [1, 1, 1, 1]),
        ({"start": 1, "by_epoch": True}, [0, 0, 0, 0]),
        ({"interval": 2}, [1, 0, 1, 0]),
    ],
)
def test_it_counts_when_asked(tmp_path, options, on):
    """An iteration-based training stays in epoch 0."""
    losses = []
    watch = Watch(after_train_iter=lambda runner, outputs: losses.append(outputs["loss_soc"].item()))
    runner = run(tmp_path, {**HOOK, **options}, extra=[watch])
    assert [loss > 0 for loss in losses] == [bool(x) for x in on]
    assert int(soc(runner).contrast.key.steps) == 1 + 4, "the key branch follows the model throughout"
    assert not soc(runner).contrast.captured


def test_the_explicit_branch_is_copied_and_fed_what_the_model_feeds_it(tmp_path):
    """The first convolution is run once: the key branch starts behind it."""
    calls = []

    class Stem(nn.Conv2d):
        def forward(self, x):
            calls.append(self.training)
            return super().forward(x)

    model = SomebodysDepthModel()
    model.backbone[0] = Stem(3, 6, 3, stride=2, padding=1)
    runner = run(tmp_path, {**HOOK, "branch": "backbone.1", "feature": "backbone.1", "in_channels": 6}, model=model)
    assert calls == [True] * 4
    assert isinstance(soc(runner).contrast.key.module["branch"], nn.BatchNorm2d)


class Pyramid(SomebodysDepthModel):
    """Its backbone gives several maps, as mmseg's and transformers' do; its samples are somebody else's too."""

    class Backbone(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 4, 2, stride=2), nn.Conv2d(4, 10, 2, stride=2)

        def forward(self, x):
            fine = self.first(x)
            return fine, {"maps": [fine, self.second(fine)]}

    def __init__(self):
        super().__init__()
        self.backbone, self.head = self.Backbone(), nn.Conv2d(4, 1, 1)

    def forward(self, inputs, data_samples=None, mode="tensor"):
        fine, _ = self.backbone(torch.stack(list(inputs)))
        depth = self.head(fine)
        return {"loss_depth": depth.mean()} if mode == "loss" else depth


@pytest.mark.parametrize(("index", "channels"), [(0, 4), ((1, "maps", -1), 10), ([1, "maps", 0], 4)])
def test_the_feature_is_a_part_of_the_output_and_a_dry_run_finds_its_channels(tmp_path, index, channels):
    runner = run(tmp_path, {**HOOK, "index": index}, model=Pyramid())
    assert getattr(runner.model, PROJECTOR).reduce.in_channels == channels
    assert runner.message_hub.get_scalar("train/loss_soc").current() > 0


@FUNCTIONS.register_module()
def depth_of_somebody(samples, times):
    return torch.stack([times * sample.gt_depth_map.data for sample in samples])


@pytest.mark.parametrize(
    "gt", [lambda samples: depth_of_somebody(samples, 1), {"type": "depth_of_somebody", "times": 1}, "plain", "flat"]
)
def test_true_depth_is_a_field_or_a_function(tmp_path, gt):
    class Samples(Pictures):
        def __getitem__(self, i):
            item = super().__getitem__(i)
            data = item["data_samples"].gt_depth_map.data
            item["data_samples"].plain, item["data_samples"].flat = data, PixelData(data=data[0])
            return item

    values = [
        run(tmp_path / str(i), {**HOOK, "gt": g}, dataset=Samples(), iterations=1).message_hub
        for i, g in enumerate(("gt_depth_map", gt))
    ]
    first, second = (hub.get_scalar("train/loss_soc").current() for hub in values)
    assert first == second > 0


class TokenModel(BaseModel):
    """Patch tokens behind a class token."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(3, 12, 4, stride=4)
        self.encoder = nn.Linear(12, 12)

    def forward(self, inputs, data_samples=None, mode="tensor"):
        tokens = self.embed(torch.stack(list(inputs))).flatten(2).transpose(1, 2)
        tokens = self.encoder(torch.cat([tokens[:, :1], tokens], 1))
        return {"loss_depth": tokens.square().mean()} if mode == "loss" else tokens


def test_tokens_with_a_class_token(tmp_path):
    runner = run(tmp_path, {**HOOK, "feature": "encoder"}, model=TokenModel())
    assert runner.message_hub.get_scalar("train/loss_soc").current() > 0


class Broken(Pictures):
    def __init__(self, **fields):
        self.fields = fields

    def __getitem__(self, i):
        item = super().__getitem__(i)
        del item["data_samples"].gt_depth_map
        for name, shape in self.fields.items():
            setattr(item["data_samples"], name, PixelData(data=torch.ones(shape)))
        return item


class Carefree(SomebodysDepthModel):
    """Its loss needs no depth, so that a hook is the first to miss it."""

    def forward(self, inputs, data_samples=None, mode="tensor"):
        depth = self.head(self.backbone(torch.stack(list(inputs))))
        return {"loss_depth": depth.mean()} if mode == "loss" else depth


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"feature": "backbon"}, r"no submodule 'backbon'; names near it: backbone"),
        ({"feature": "head", "branch": "backbone"}, "not inside branch"),
        ({"keys": ["other"]}, "keys must be"),
        ({"momentum": 1}, "momentum must be"),
        ({"interval": 0}, "interval must be"),
        ({"in_channels": 7}, "has 6 channels, but in_channels is 7"),
        ({"index": 3}, r"index \[3\] leads nowhere in the hooked output, \(1, 6, 8, 10\)"),
        ({"gt": "depth"}, r"true depth in every sample: sample 0 has no depth, only gt_depth_map"),
        ({"gt": {"type": "no_such_function"}}, "no function 'no_such_function'"),
        ({"gt": lambda samples: torch.ones(4, 2, 16, 20)}, r"must be \(B, 1, H, W\), not \(4, 2, 16, 20\)"),
        ({"gt": lambda samples: torch.ones(2, 1, 16, 20)}, "holds 4 images and the samples 2 depth maps"),
        ({"start": 3, "by_epoch": False, "gt": "depth"}, "sample 0 has no depth"),
    ],
)
def test_what_is_wrong_is_named_in_the_first_iteration(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        run(tmp_path, {**HOOK, **options}, iterations=1)


def test_missing_and_unequal_depth_is_named(tmp_path):
    with pytest.raises(InputError, match="sample 0 has no gt_depth_map"):
        run(tmp_path / "a", model=Carefree(), dataset=Broken(other=(1, 4, 4)))

    class Unequal(Pictures):
        def __getitem__(self, i):
            item = super().__getitem__(i)
            item["data_samples"].gt_depth_map = PixelData(data=torch.ones(1, 16 + i, 20))
            return item

    with pytest.raises(InputError, match=r"depth in every sample.*equal size"):
        run(tmp_path / "b", model=Carefree(), dataset=Unequal())


def test_depth_that_is_all_zero_is_told(tmp_path):
    class Empty(Pictures):
        def __getitem__(self, i):
            item = super().__getitem__(i)
            item["data_samples"].gt_depth_map = PixelData(data=torch.zeros(1, 16, 20))
            return item

    run(tmp_path, dataset=Empty(), log_level="WARNING")
    (log,) = tmp_path.rglob("*.log")
    assert log.read_text().count("some pictures of the first batch hold no depth at all") == 1


def test_a_feature_that_is_frozen_or_never_run_is_named(tmp_path):
    frozen = SomebodysDepthModel()
    frozen.backbone.requires_grad_(False)
    with pytest.raises(InputError, match="carries no gradient"):
        run(tmp_path, model=frozen)
    idle = SomebodysDepthModel()
    idle.spare = nn.Conv2d(6, 6, 1)
    for options in ({}, {"in_channels": 6, "branch": "spare"}):
        with pytest.raises(InputError, match="never runs"):
            run(tmp_path, {**HOOK, "feature": "spare", **options}, model=idle)


class Flat(SomebodysDepthModel):
    def __init__(self):
        super().__init__()
        self.backbone.add_module("flatten", nn.Flatten(1))
        self.head = nn.Linear(480, 1)

    def forward(self, inputs, data_samples=None, mode="tensor"):
        depth = self.head(self.backbone(torch.stack(list(inputs))))
        return {"loss_depth": depth.mean()} if mode == "loss" else depth


@pytest.mark.parametrize("options", [{}, {"in_channels": 6, "branch": "backbone"}], ids=["dry run", "first iteration"])
def test_a_feature_of_unknown_shape_is_named(tmp_path, options):
    with pytest.raises(InputError, match=r"N tokens that tile a 16 × 20 picture, not \(\d, 480\)"):
        run(tmp_path, {**HOOK, **options}, model=Flat())
