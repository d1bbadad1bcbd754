"""A trained tr2m_mini on pictures of one's own: fewer iterations, smaller steps; start it with `load_from`."""

_base_ = ["tr2m_mini.py"]

max_iters = 100
train_cfg = dict(max_iters=max_iters, val_interval=50)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
param_scheduler = [
    dict(type="mmengine.LinearLR", start_factor=0.05, by_epoch=False, begin=0, end=10),
    dict(type="mmengine.CosineAnnealingLR", by_epoch=False, begin=10, end=max_iters, eta_min=1e-6),
]
