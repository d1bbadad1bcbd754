"""Depth Anything's fine-tuning for metric depth (LiheYoung/Depth-Anything, metric_depth, config_zoedepth.json)."""

max_epochs = 5
train_cfg = dict(type="mmengine.EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type="mmengine.ValLoop")
test_cfg = dict(type="mmengine.TestLoop")
optim_wrapper = dict(
    type="mmengine.OptimWrapper",
    optimizer=dict(type="AdamW", lr=1.61e-4, weight_decay=1e-2),
    paramwise_cfg=dict(custom_keys={"network.backbone": dict(lr_mult=1 / 50)}),
)
# Constant for 70 % of the training, then down to a ten-thousandth.
param_scheduler = [
    dict(
        type="mmengine.CosineAnnealingLR",
        begin=0.7 * max_epochs,
        end=max_epochs,
        eta_min_ratio=1e-4,
        convert_to_iter_based=True,
    ),
]
auto_scale_lr = dict(base_batch_size=16, enable=False)
randomness = dict(seed=0)
