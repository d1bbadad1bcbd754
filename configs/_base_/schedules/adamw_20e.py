"""AdamW, 1e-5 x 0.9 per epoch, 20 epochs (paper, section 4); warm-up and weight decay are the release's."""

train_cfg = dict(type="mmengine.EpochBasedTrainLoop", max_epochs=20, val_interval=5)
val_cfg = dict(type="mmengine.ValLoop")
test_cfg = dict(type="mmengine.TestLoop")
# Neither mentions gradient clipping or mixed precision. On GPUs type="mmengine.AmpOptimWrapper", or on any device
# type="AutocastOptimWrapper", saves memory.
optim_wrapper = dict(
    type="mmengine.OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-5, weight_decay=1e-2),
)
param_scheduler = [
    dict(type="mmengine.LinearLR", start_factor=1e-3, by_epoch=False, begin=0, end=1000),
    dict(type="mmengine.ExponentialLR", gamma=0.9, by_epoch=True),
]
# The paper's batch of 8 is that of all processes together; with enable=True the learning rate follows another one.
auto_scale_lr = dict(base_batch_size=8, enable=False)
randomness = dict(seed=0)
