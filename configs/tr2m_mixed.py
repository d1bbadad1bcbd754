"""The paper's TR2M: one network for NYUv2, KITTI, VOID and C3VD."""

_base_ = [
    "_base_/models/tr2m_vitl14.py",
    "_base_/datasets/mixed.py",
    "_base_/schedules/adamw_20e.py",
    "_base_/default_runtime.py",
]

# The last epoch is what is reported: there is no split to choose another by.
default_hooks = dict(
    logger=dict(log_metric_by_epoch=True),
    seed=dict(type="EpochSeedHook"),
    checkpoint=dict(by_epoch=True, interval=1, save_best=None, rule=None),
)
log_processor = dict(by_epoch=True)
