"""What the hook holds under: precision, accumulation, other hooks, compilers, checkpoints, evaluation."""

import copy

import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.runner import Runner, load_checkpoint
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from tests.losses.test_scale_oriented_contrast import twin
from tests.support.somebodys_model import HOOK, Pictures, SomebodysDepthModel, Watch, assert_equal, run, soc, weights
from tr2m_plugin.checkpoint import load_checkpoint as load_safely
from tr2m_plugin.errors import InputError
from tr2m_plugin.hooks.soc_hook import CHECKPOINT_KEY
from tr2m_plugin.losses import depth_classes, reduce_classes
from tr2m_plugin.models import SOCProjector

ADAM = {"optimizer": {"type": "AdamW", "lr": 1e-2, "weight_decay": 1e-2}}
SGD = {"optimizer": {"type": "SGD", "lr": 0.1, "momentum": 0.9, "weight_decay": 1e-2}}
OFF = {**HOOK, "loss_weight": 0.0}
"""The hook at work, with a loss that moves nothing but itself."""


def without_key(state):
    return {name: value for name, value in state.items() if not name.startswith(("key.", "soc_projector"))}


def test_beside_the_loss_it_changes_nothing(tmp_path):
    """Batch statistics, dropout's random numbers and the weights are as they would be without it."""
    with_it = run(tmp_path / "a", OFF, model=SomebodysDepthModel(dropout=0.5), iterations=6)
    without = run(tmp_path / "b", None, model=SomebodysDepthModel(dropout=0.5), iterations=6)
    assert_equal(without_key(weights(with_it)), weights(without))


def test_the_key_branch_drops_nothing_and_keeps_its_statistics(tmp_path):
    """Its statistics are the moving average of the model's, which its own forward does not touch."""
    averages, means = [], []

    def keep(runner, outputs):
        means.append(runner.model.backbone[1].running_mean.clone())
        averages.append(soc(runner).contrast.key.module["branch"].backbone[1].running_mean.clone())

    model = SomebodysDepthModel(dropout=0.5)
    runner = run(tmp_path, {**HOOK, "momentum": 0.25}, model=model, extra=[Watch(after_train_iter=keep)])
    expected = torch.zeros(6)
    for mean, average in zip(means, averages, strict=True):
        expected = 0.75 * expected + 0.25 * mean
        torch.testing.assert_close(average, expected)
    assert not any(module.training for module in soc(runner).contrast.key.modules())


def test_accumulation_moves_the_key_branch_once_per_step(tmp_path):
    runner = run(tmp_path, optim={"accumulative_counts": 2})
    key = soc(runner).contrast.key
    assert not any(p.requires_grad for p in key.parameters())
    assert int(key.steps) == 1 + 2  # the copy at the start, then two optimizer steps in four iterations


def test_under_autocast_the_contrast_is_summed_in_float32(tmp_path):
    """The loss equals its slow float64 twin on the same half precision features."""
    seen = []

    def record(runner):
        loss = soc(runner).loss
        original = loss.forward
        loss.forward = lambda *args: seen.append((args, original(*args))) or seen[-1][1]

    run(
        tmp_path,
        extra=[Watch(before_run=record)],
        optim={"type": "tr2m_plugin.AutocastOptimWrapper", "dtype": "bfloat16"},
    )
    assert len(seen) == 4
    for (query, keys, depth, depths, _), loss in seen:
        assert query.dtype == keys[0].dtype == torch.bfloat16
        assert loss.dtype == torch.float32

        def flat(x):
            return x.detach().flatten(2).transpose(1, 2).double()

        def classes(d, size=query.shape[-2:]):
            return reduce_classes(depth_classes(d[:, 0], 20), size).flatten(1)

        slow = twin(flat(query), [flat(k) for k in keys], classes(depth), [classes(d) for d in depths], "sum")
        assert loss.item() == pytest.approx(0.1 * float(slow), rel=1e-5)


def test_a_model_in_half_precision_gets_a_projector_of_its_kind(tmp_path):
    class Half(SomebodysDepthModel):
        def forward(self, inputs, data_samples=None, mode="tensor"):
            return super().forward([image.bfloat16() for image in inputs], data_samples, mode)

    runner = run(tmp_path, model=Half().bfloat16())
    assert {parameter.dtype for parameter in runner.model.parameters()} == {torch.bfloat16}
    assert runner.message_hub.get_scalar("train/loss_soc").current() > 0


def test_an_ema_hook_beside_it(tmp_path):
    """Training is the same, the average is of the model alone, and its copy of the model contrasts nothing."""
    ema = {"type": "EMAHook", "momentum": 0.1}
    alone = run(tmp_path / "a")
    runner = run(tmp_path / "b", extra=[ema])
    assert_equal(weights(runner), weights(alone))
    average = next(hook for hook in runner.hooks if type(hook).__name__ == "EMAHook").ema_model.module
    batch = runner.model.data_preprocessor(pseudo_collate([Pictures()[i] for i in range(4)]), True)
    assert set(average.train()(**batch, mode="loss")) == {"loss_depth"}
    assert not soc(runner).contrast.captured
    saved = load_safely(tmp_path / "b" / "iter_4.pth")
    assert saved["state_dict"].keys() == SomebodysDepthModel().state_dict().keys()
    torch.testing.assert_close(saved["state_dict"]["head.0.weight"], average.head[0].weight)
    parts = run(tmp_path / "c", iterations=2, extra=[ema])
    parts = run(tmp_path / "c", resume=True, extra=[ema])
    assert_equal(weights(parts), weights(runner))


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_a_compiled_model(tmp_path, backend):
    torch.compiler.reset()
    plain = run(tmp_path / "a")
    runner = run(tmp_path / "b", compile={"backend": backend})
    assert_equal(weights(runner), weights(plain), rtol=1e-4, atol=1e-6)
    assert runner.message_hub.get_scalar("train/loss_soc").current() > 0


def test_a_compiled_model_is_compiled_once(tmp_path):
    """Whether the contrast counts in an iteration is not the compiler's business."""
    graphs, counts = [], []

    @torch._dynamo.register_backend(name="counting")
    def count(module, inputs):
        graphs.append(module)
        return module.forward

    for options in ({}, {"interval": 2}, {"start": 2, "by_epoch": False}):
        torch.compiler.reset()
        graphs.clear()
        run(tmp_path / str(len(counts)), {**HOOK, **options}, compile={"backend": "counting"})
        counts.append(len(graphs))
    assert counts[0] == counts[1] == counts[2] > 0


def test_a_compiled_submodule(tmp_path):
    torch.compiler.reset()
    plain = run(tmp_path / "a")
    model = SomebodysDepthModel()
    model.backbone.compile(backend="aot_eager")
    assert_equal(weights(run(tmp_path / "b", model=model)), weights(plain), rtol=1e-4, atol=1e-6)


class Frugal(nn.Sequential):
    """Repeats its forward in backward."""

    reentrant = False

    def forward(self, x):
        return checkpoint(super().forward, x, use_reentrant=self.reentrant)


def test_activation_checkpointing(tmp_path):
    """Nothing of the repeated forward is kept. Re-entrant, a feature inside has no gradient, which is said."""
    hook = {**HOOK, "feature": "backbone.0"}
    plain = run(tmp_path / "a", hook)
    model = SomebodysDepthModel()
    model.backbone = Frugal(*model.backbone)
    runner = run(tmp_path / "b", hook, model=copy.deepcopy(model))
    parameters = dict(runner.model.named_parameters())
    assert_equal(parameters, dict(plain.model.named_parameters()), rtol=1e-4, atol=1e-6)
    assert not soc(runner).contrast.captured
    model.backbone.reentrant = True
    with pytest.raises(InputError, match="re-entrant"):
        run(tmp_path / "c", hook, model=model)


@pytest.mark.parametrize("optim", [ADAM, SGD], ids=["adam", "sgd"])
def test_resuming_is_exact(tmp_path, optim):
    """Projector, key branch and their optimizer state come back; parameters of the optimizer in several groups."""
    optim = {**optim, "paramwise_cfg": {"norm_decay_mult": 0.0, "custom_keys": {"head": {"lr_mult": 2.0}}}}
    whole = run(tmp_path / "whole", optim=optim)
    run(tmp_path / "parts", iterations=2, optim=optim)
    parts = run(tmp_path / "parts", resume=True, optim=optim)
    assert_equal(weights(parts), weights(whole))
    state = whole.optim_wrapper.state_dict()["state"]
    assert len(state) == len(list(whole.model.parameters()))


@MODELS.register_module()
class NormalisedProjector(SOCProjector):
    """A projector of somebody's own, with buffers."""

    def __init__(self, **options):
        super().__init__(**options)
        self.pool = nn.BatchNorm2d(options["out_channels"])


def test_resuming_with_another_projector_is_exact(tmp_path):
    hook = {**HOOK, "projector": {"type": "NormalisedProjector", "hidden_channels": 8, "out_channels": 8}}
    whole = run(tmp_path / "whole", hook, optim=ADAM)
    run(tmp_path / "parts", hook, iterations=2, optim=ADAM)
    assert_equal(weights(run(tmp_path / "parts", hook, resume=True, optim=ADAM)), weights(whole))


def test_the_checkpoint_is_the_models_own(tmp_path):
    run(tmp_path / "a", optim=ADAM)
    run(tmp_path / "b", None, optim=ADAM)
    with_it, without = (load_safely(tmp_path / name / "iter_4.pth") for name in "ab")
    assert set(with_it) - set(without) == {CHECKPOINT_KEY}
    assert with_it["state_dict"].keys() == without["state_dict"].keys()
    assert with_it["optimizer"]["state"].keys() == without["optimizer"]["state"].keys()
    assert with_it["optimizer"]["param_groups"] == without["optimizer"]["param_groups"]
    load_checkpoint(SomebodysDepthModel(), str(tmp_path / "a" / "iter_4.pth"), strict=True)


def test_training_resumes_without_it(tmp_path):
    """With a weight of zero it changed nothing, so what follows is as if it had never been there."""
    never = run(tmp_path / "never", None, optim=ADAM)
    run(tmp_path / "removed", OFF, iterations=2, optim=ADAM)
    removed = run(tmp_path / "removed", None, resume=True, optim=ADAM)
    assert_equal(weights(removed), weights(never))


def test_training_resumes_with_it_anew(tmp_path):
    run(tmp_path, None, iterations=2, optim=ADAM)
    first = []
    watch = Watch(before_train=lambda runner: first.append({k: v.clone() for k, v in weights(runner).items()}))
    runner = run(tmp_path, resume=True, optim=ADAM, extra=[watch])
    state = load_safely(tmp_path / "iter_2.pth")["state_dict"]
    torch.testing.assert_close(first[0]["key.module.branch.backbone.0.weight"], state["backbone.0.weight"])
    assert runner.message_hub.get_scalar("train/loss_soc").current() > 0


def other_weights():
    model = SomebodysDepthModel()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    return model.state_dict()


def pretrained(path):
    model = SomebodysDepthModel()
    model.init_cfg = {"type": "Pretrained", "checkpoint": path}
    return {"model": model}


@pytest.mark.parametrize("how", [lambda path: {"load_from": path}, pretrained], ids=["load_from", "init_cfg"])
def test_the_key_branch_starts_from_the_loaded_weights(tmp_path, how):
    path = str(tmp_path / "start.pth")
    torch.save({"state_dict": other_weights()}, path)
    first = []
    watch = Watch(before_train=lambda runner: first.append({k: v.clone() for k, v in weights(runner).items()}))
    run(tmp_path, extra=[watch], **how(path))
    torch.testing.assert_close(first[0]["key.module.branch.backbone.0.weight"], other_weights()["backbone.0.weight"])


def flops(model, mode):
    batch = model.data_preprocessor(pseudo_collate([Pictures()[i] for i in range(4)]), False)
    with FlopCounterMode(display=False) as counter:
        model(**batch, mode=mode)
    return counter.get_total_flops()


def test_evaluation_costs_nothing(tmp_path):
    runner = run(tmp_path, iterations=2)
    with torch.no_grad():
        assert flops(runner.model.eval(), "tensor") == flops(SomebodysDepthModel().eval(), "tensor")
        assert flops(runner.model.eval(), "loss") == flops(SomebodysDepthModel().eval(), "loss")
    assert not soc(runner).contrast.captured
    testing = Runner(
        model=SomebodysDepthModel(),
        work_dir=str(tmp_path),
        test_dataloader={"dataset": Pictures(), "sampler": {"type": "DefaultSampler", "shuffle": False}},
        test_cfg={"type": "TestLoop"},
        test_evaluator={"type": "DumpResults", "out_file_path": str(tmp_path / "results.pkl")},
        custom_hooks=[HOOK],
        experiment_name="testing",
    )
    testing.call_hook("before_run")
    assert_equal(weights_of(testing.model), weights_of(SomebodysDepthModel()))


def weights_of(model):
    return dict(model.named_parameters())


def test_training_again_adds_nothing_more(tmp_path):
    runner = run(tmp_path, iterations=2)
    before = weights_of(runner.model).keys(), len(runner.model._forward_hooks)
    runner.call_hook("before_run")
    assert (weights_of(runner.model).keys(), len(runner.model._forward_hooks)) == before


class Counting(nn.Conv2d):
    calls = 0

    def forward(self, x):
        Counting.calls += 1
        return super().forward(x)


@pytest.mark.parametrize("branch", ["", "net"])
def test_the_key_branch_stops_at_the_feature(tmp_path, branch):
    """What comes after it runs once an iteration, also where it is inside the copied branch."""

    class Nested(SomebodysDepthModel):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(self.backbone, Counting(6, 1, 1))
            del self.backbone, self.head

        def forward(self, inputs, data_samples=None, mode="tensor"):
            return {"loss_depth": self.net(torch.stack(list(inputs))).mean()}

    Counting.calls = 0
    run(tmp_path, {**HOOK, "feature": "net.0", "branch": branch, "in_channels": 6}, model=Nested())
    assert Counting.calls == 4


def test_a_step_costs_one_more_encoder(tmp_path):
    runner = run(tmp_path, iterations=1)
    batch = torch.rand(4, 3, 16, 20)
    with FlopCounterMode(display=False) as counter:
        runner.model.backbone(batch)
    encoder = counter.get_total_flops()
    with FlopCounterMode(display=False) as counter:
        soc(runner).contrast.projector(runner.model.backbone(batch))
    projector = counter.get_total_flops() - encoder
    model = runner.model.train()
    soc(runner)._counts = True
    contrast = flops(model, "loss") - flops(SomebodysDepthModel(), "loss")
    products = contrast - encoder - 2 * projector
    # Sums of 21 classes over two key maps, and the query against them: 8 channels, 80 pixels, 4 pictures.
    assert products == 3 * 2 * 21 * 80 * 8 * 4


def test_memory_is_one_more_encoder_and_projector(tmp_path):
    runner = run(tmp_path, iterations=1)
    count = sum(p.numel() for p in soc(runner).contrast.key.parameters())
    encoder = sum(p.numel() for p in runner.model.backbone.parameters())
    projector = sum(p.numel() for p in runner.model.soc_projector.parameters())
    assert count == encoder + projector


def test_several_optimizers_are_refused(tmp_path):
    @OPTIM_WRAPPER_CONSTRUCTORS.register_module(force=True)
    class Wrapped:
        def __init__(self, optim_wrapper_cfg, paramwise_cfg):
            pass

        def __call__(self, model):
            return OptimWrapperDict(all=OptimWrapper(torch.optim.SGD(model.parameters(), 0.1)))

    with pytest.raises(InputError, match="single optimizer"):
        run(tmp_path, optim={"constructor": "Wrapped"})
