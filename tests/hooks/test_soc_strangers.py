"""The hook on models of strangers: it works, or it says why not."""

import pytest
import torch

from tests.support.somebodys_model import HOOK, Pictures, SomebodysDepthModel, Watch, assert_equal, run, weights
from tests.support.strangers import (
    CallsItself,
    CallsLoss,
    DictPictures,
    ReturnsDepth,
    TakesOne,
    TargetPictures,
    Transformer,
)
from tr2m_plugin.errors import InputError
from tr2m_plugin.hooks import SOCHook

NET = {**HOOK, "feature": "net.encoder", "gt": "depth"}
TOKENS = {**HOOK, "feature": "blocks.1", "gt": "targets.depth"}
SECOND = {**HOOK, "feature": "backbone.0", "name": "early", "loss_weight": 0.3, "num_classes": 5}
ADAM = {"optimizer": {"type": "AdamW", "lr": 1e-2, "weight_decay": 1e-2}}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (CallsLoss, r"no loss_soc: CallsLoss was trained without a call .* call self\(..., mode='loss'\)"),
        (TakesOne, "loss_soc was added to what TakesOne's forward returned, but not to what is trained on"),
        (ReturnsDepth, "no loss_soc: ReturnsDepth's forward returned a Tensor"),
    ],
)
def test_where_it_would_do_nothing_the_first_iteration_says_why(tmp_path, model, message):
    seen = []
    watch = Watch(after_train_iter=lambda runner, outputs: seen.append(outputs))
    options = {"in_channels": 6, "branch": "net.encoder"}
    with pytest.raises(InputError, match=message):
        run(tmp_path, {**NET, **options}, model=model(), dataset=DictPictures(), extra=[watch])
    assert not seen


def test_a_train_step_that_calls_the_model_is_enough(tmp_path):
    runner = run(tmp_path, NET, model=CallsItself(), dataset=DictPictures())
    assert runner.message_hub.get_scalar("train/loss_soc").current() > 0


def test_a_model_that_no_dry_run_can_call_is_named(tmp_path):
    with pytest.raises(InputError, match=r"ReturnsDepth cannot be called .* \(TypeError: .*: give SOCHook in_channels"):
        run(tmp_path, NET, model=ReturnsDepth(), dataset=DictPictures())


def test_tokens_with_a_dict_of_targets_and_a_loss_that_is_called_loss(tmp_path):
    """MMEngine's total is right; in its log the model's loss stands in the total's place, which is said."""
    values = []

    def keep(runner, outputs):
        values.append({name: value.item() for name, value in outputs.items()})

    update = []

    def record(runner):
        original = runner.optim_wrapper.update_params
        runner.optim_wrapper.update_params = lambda loss: update.append(loss.item()) or original(loss)

    watch = Watch(before_train=record, after_train_iter=keep)
    run(tmp_path, TOKENS, model=Transformer(), dataset=TargetPictures(), extra=[watch], log_level="WARNING")
    assert [set(value) for value in values] == [{"loss", "loss_soc"}] * 4
    assert update == pytest.approx([value["loss"] + value["loss_soc"] for value in values], rel=1e-6)
    (log,) = tmp_path.rglob("*.log")
    assert log.read_text().count("hides MMEngine's total") == 1


class Double(SomebodysDepthModel):
    def __init__(self):
        super().__init__()
        self.double()

    def forward(self, inputs, data_samples=None, mode="tensor"):
        return super().forward([image.double() for image in inputs], data_samples, mode)


def test_two_hooks_add_what_each_adds_alone(tmp_path):
    """The total is the sum, and one step of plain descent moves the weights by the sum of what each moves."""
    found = {}
    for name, hooks in {"none": [], "soc": [HOOK], "early": [SECOND], "both": [HOOK, SECOND]}.items():
        logged = []
        watch = Watch(after_train_iter=lambda runner, outputs, logged=logged: logged.append(dict(outputs)))
        runner = run(tmp_path / name, None, model=Double(), iterations=1, extra=[*hooks, watch])
        found[name] = (logged[0], {n: p.detach() for n, p in runner.model.backbone.named_parameters()})
    base, soc, early, both = (found[name][0] for name in ("none", "soc", "early", "both"))
    assert both["loss_soc"].item() == soc["loss_soc"].item() > 0
    assert both["loss_early"].item() == early["loss_early"].item() > 0
    assert both["loss_soc"].item() != both["loss_early"].item()
    expected = base["loss"] + soc["loss_soc"] + early["loss_early"]
    assert both["loss"].item() == pytest.approx(expected.item(), rel=1e-12)
    for name, start in found["none"][1].items():
        moved = sum(found[hook][1][name] - start for hook in ("soc", "early"))
        torch.testing.assert_close(found["both"][1][name] - start, moved, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("order", [[HOOK, SECOND], [SECOND, HOOK]], ids=["soc first", "soc last"])
def test_two_hooks_resume_exactly(tmp_path, order):
    whole = run(tmp_path / "whole", None, optim=ADAM, extra=order)
    run(tmp_path / "parts", None, iterations=2, optim=ADAM, extra=order)
    parts = run(tmp_path / "parts", None, resume=True, optim=ADAM, extra=order)
    assert_equal(weights(parts), weights(whole))
    assert {name.split(".")[0] for name in weights(parts)} >= {"soc_projector", "early_projector", "key", "early"}


def test_names(tmp_path):
    with pytest.raises(InputError, match=r"two SOCHooks are named 'soc': give each a name of its own"):
        run(tmp_path, extra=[{**HOOK, "feature": "backbone.0"}])
    with pytest.raises(InputError, match="one word"):
        SOCHook("backbone", name="a.b")

    class Taken(SomebodysDepthModel):
        def forward(self, inputs, data_samples=None, mode="tensor"):
            losses = super().forward(inputs, data_samples, mode)
            return {**losses, "loss_soc": losses["loss_depth"]} if mode == "loss" else losses

    with pytest.raises(InputError, match="a loss_soc of its own"):
        run(tmp_path / "taken", model=Taken())


def test_few_cells_and_a_batch_of_one_are_told_once(tmp_path):
    loader = {
        "batch_size": 1,
        "dataset": Pictures(),
        "sampler": {"type": "InfiniteSampler", "shuffle": False},
        "collate_fn": {"type": "pseudo_collate"},
    }
    coarse = {**HOOK, "projector": {**HOOK["projector"], "pool": 4}}
    run(tmp_path, coarse, train_dataloader=loader, log_level="WARNING")
    (log,) = tmp_path.rglob("*.log")
    text = log.read_text()
    assert text.count("in a batch of one picture, the shuffled key map is the picture's own") == 1
    assert text.count("of 2 × 3 cells after the projector 6 hold depth, fewer than the 20 classes") == 1
    run(tmp_path / "fine", log_level="WARNING")
    (log,) = (tmp_path / "fine").rglob("*.log")
    assert "scale-oriented contrast" not in log.read_text()


def test_another_feature_on_resume_is_named(tmp_path):
    run(tmp_path, iterations=2)
    with pytest.raises(
        InputError, match=r"feature='backbone', not with feature='backbone.0'; resume with what it had, or"
    ):
        run(tmp_path, {**HOOK, "feature": "backbone.0"}, resume=True)
    wider = {**HOOK, "projector": {**HOOK["projector"], "out_channels": 9}}
    with pytest.raises(InputError, match="another feature, branch or projector, not with feature='backbone'"):
        run(tmp_path, wider, resume=True)
