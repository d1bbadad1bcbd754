"""What every training shares: hooks, logs, environment."""

default_scope = "tr2m_plugin"
custom_imports = dict(imports=["tr2m_plugin"], allow_failed_imports=False)

env_cfg = dict(cudnn_benchmark=False, mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0))
log_processor = dict(type="mmengine.LogProcessor", window_size=20, by_epoch=False)
log_level = "INFO"
visualizer = dict(
    type="mmengine.Visualizer",
    vis_backends=[
        dict(type="mmengine.LocalVisBackend"),
        # With `pip install dvclive`, curves and numbers for DVC (docs/experiments.md):
        # dict(type="mmengine.DVCLiveVisBackend", save_dir="live", init_kwargs=dict(save_dvc_exp=False, dvcyaml=None)),
    ],
)

default_hooks = dict(
    timer=dict(type="mmengine.IterTimerHook"),
    logger=dict(type="mmengine.LoggerHook", interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type="mmengine.ParamSchedulerHook"),
    checkpoint=dict(
        type="SafeCheckpointHook",
        by_epoch=False,
        interval=200,
        max_keep_ckpts=1,
        save_best="abs_rel",
        rule="less",
    ),
    sampler_seed=dict(type="mmengine.DistSamplerSeedHook"),
    schedule=dict(type="ScheduleHook"),
)
