"""DA Mix of Table 3: one Depth Anything fine-tuned for metric depth on NYUv2, KITTI, VOID and C3VD in turn.

The paper says no more of it. Taken are the recipe that Depth Anything's authors give for one dataset, but with the
network's own head in place of ZoeDepth's bins, which HFDepthModel has not; and of TR2M's recipe the data, its order and
augmentation. Pictures come at the size that their protocol reads them at. Needs the stage `index` alone.
"""

_base_ = [
    "../_base_/models/depth_anything_vitl14.py",
    "../_base_/datasets/mixed.py",
    "../_base_/schedules/adamw_5e.py",
    "../_base_/default_runtime.py",
]

zero_shot = ["sun_rgbd", "ibims", "hypersim", "diode", "simcol"]

train_pipeline = [
    dict(type="LoadDepthInputs"),
    dict(type="MaskDepthBorder", box=(45, 472, 43, 608), datasets=["nyu"]),
    dict(type="RandomFlipDepth", prob=0.5),
    dict(type="RandomColor", brightness=(0.75, 1.25), datasets=["nyu"]),
    dict(type="RandomColor", datasets=["kitti", "void"]),
    dict(type="RandomColorJitter", brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1, datasets=["c3vd"]),
    dict(type="PackDepthInputs"),
]
test_pipeline = [dict(type="LoadDepthInputs"), dict(type="PackDepthInputs")]
pictures = dict(relative_depth=None, text=False)
train_dataloader = dict(batch_size=16, dataset=dict(pictures, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pictures, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pictures, pipeline=test_pipeline, datasets=_base_.datasets + zero_shot))

# The last epoch is what is reported: there is no split to choose another by.
default_hooks = dict(
    logger=dict(log_metric_by_epoch=True),
    seed=dict(type="EpochSeedHook"),
    checkpoint=dict(by_epoch=True, interval=1, save_best=None, rule=None),
)
log_processor = dict(by_epoch=True)
