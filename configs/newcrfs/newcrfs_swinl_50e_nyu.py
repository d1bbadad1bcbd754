"""NeWCRFs on NYUv2, Swin-L, 50 epochs of 8 pictures at a time, as its authors trained it; tested on iBims-1 too."""

_base_ = ["../_base_/default_runtime.py"]

data_root = "{{$TR2M_DATA_ROOT:work/paper}}"
datasets = ["nyu"]

model = dict(
    type="NeWCRFs",
    version="large07",
    max_depth=10.0,
    pretrained="microsoft/swin-large-patch4-window7-224-in22k",
    loss=dict(min_depth=0.1),
    flip_average=True,
    data_preprocessor=dict(
        type="mmengine.ImgDataPreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
    ),
)

train_pipeline = [
    dict(type="LoadDepthInputs"),
    dict(type="MaskDepthBorder", box=(45, 472, 43, 608)),
    dict(type="RandomRotateDepth", degrees=2.5),
    dict(type="RandomCropDepth", size=(480, 640)),
    dict(type="RandomFlipDepth"),
    dict(type="RandomColor", brightness=(0.75, 1.25)),
    dict(type="PackDepthInputs"),
]
test_pipeline = [dict(type="LoadDepthInputs"), dict(type="PackDepthInputs")]
train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    worker_init_fn=dict(type="tr2m_plugin.seed_worker"),
    sampler=dict(type="mmengine.DefaultSampler", shuffle=True),
    dataset=dict(
        type="TableDataset",
        data_root=data_root,
        split="train",
        datasets=datasets,
        relative_depth=None,
        text=False,
        pipeline=train_pipeline,
    ),
)
test_dataset = dict(
    type="TableDataset",
    data_root=data_root,
    split="test",
    datasets=datasets,
    relative_depth=None,
    text=False,
    pipeline=test_pipeline,
    test_mode=True,
    max_error_share=0.2,
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    sampler=dict(type="mmengine.DefaultSampler", shuffle=False),
    dataset=test_dataset,
)
# Both columns of Table 8: iBims-1 is zero-shot.
test_dataloader = dict(val_dataloader, dataset=dict(test_dataset, datasets=[*datasets, "ibims"]))
val_evaluator = test_evaluator = dict(type="DepthMetric")

max_epochs = 50
train_cfg = dict(type="mmengine.EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=5)
val_cfg = dict(type="mmengine.ValLoop")
test_cfg = dict(type="mmengine.TestLoop")
# The authors' config files name a weight decay and an epsilon of Adam, which their code does not pass on.
optim_wrapper = dict(type="mmengine.OptimWrapper", optimizer=dict(type="Adam", lr=2e-5))
param_scheduler = [
    dict(type="mmengine.PolyLR", power=0.9, eta_min=2e-6, end=max_epochs, convert_to_iter_based=True),
]
default_hooks = dict(
    logger=dict(log_metric_by_epoch=True),
    checkpoint=dict(by_epoch=True, interval=1, save_best=None),
    epoch_seed=dict(type="EpochSeedHook"),
)
log_processor = dict(by_epoch=True)
randomness = dict(seed=0)
