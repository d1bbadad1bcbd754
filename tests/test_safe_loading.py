"""Somebody's own MMEngine training, resumed with our loader by a line in its config."""

import pickle

import pytest
from mmengine.runner import CheckpointLoader, Runner

from tests.support.somebodys_model import Pictures, SomebodysDepthModel


def run(folder, iterations, resume, **cfg):
    runner = Runner(
        model=SomebodysDepthModel(),
        work_dir=str(folder),
        train_dataloader={
            "batch_size": 4,
            "num_workers": 0,
            "dataset": Pictures(),
            "sampler": {"type": "InfiniteSampler", "shuffle": False},
            "collate_fn": {"type": "pseudo_collate"},
        },
        train_cfg={"type": "IterBasedTrainLoop", "max_iters": iterations},
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.1}},
        default_hooks={"checkpoint": {"type": "CheckpointHook", "interval": 2, "by_epoch": False}},
        resume=resume,
        experiment_name=f"{folder.name}{iterations}{resume}{len(cfg)}",
        log_level="ERROR",
        cfg=cfg,
    )
    runner.train()
    return runner


def test_a_line_in_the_config_makes_resuming_work(tmp_path, monkeypatch):
    monkeypatch.setattr("mmengine.runner.runner.collect_env", dict)
    from mmengine.config import Config

    from tr2m_plugin import checkpoint
    from tr2m_plugin.checkpoint import load_from_local_safely

    own = dict(CheckpointLoader._schemes)
    try:
        # MMEngine as it is, whatever other tests have registered.
        from mmengine.runner.checkpoint import load_from_local

        CheckpointLoader.register_scheme(prefixes="", loader=load_from_local, force=True)
        checkpoint.register_safe_loader.cache_clear()
        run(tmp_path, 2, False)
        with pytest.raises(pickle.UnpicklingError, match="HistoryBuffer"):
            run(tmp_path, 4, True)
        (tmp_path / "mine.py").write_text("custom_imports = dict(imports=['tr2m_plugin.safe_loading'])\n")
        import sys

        sys.modules.pop("tr2m_plugin.safe_loading", None)
        Config.fromfile(tmp_path / "mine.py")
        assert CheckpointLoader._schemes[""] is load_from_local_safely
        assert run(tmp_path, 4, True).iter == 4
    finally:
        CheckpointLoader._schemes = own
        checkpoint.register_safe_loader.cache_clear()
