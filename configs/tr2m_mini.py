"""TR2M on the miniature world: the paper's structure and losses at small widths, minutes on two cores."""

_base_ = ["_base_/models/tr2m_vitl14.py", "_base_/default_runtime.py"]

data_root = "{{$TR2M_DATA_ROOT:work/mini}}"
relative_depth = dict(pretrained="mini_depth_anything", size=(112, 140), aligned=False, position_offset=0.0)
relative_networks = dict(midas="mini_midas", dpt="mini_dpt")
text_encoder = dict(pretrained="mini_clip_text")

model = dict(
    image_encoder=dict(pretrained="mini_depth_anything"),
    rescale_net=dict(
        image_channels=128,
        text_channels=160,
        out_channels=32,
        features=16,
        head_channels=8,
        num_heads=4,
        coef_scale=0.1,
        coef_shift=0.1,
    ),
)
custom_hooks = [
    dict(
        type="SOCHook",
        feature="rescale_net.fusion",
        branch="rescale_net.fusion",
        in_channels=128,
        projector=dict(hidden_channels=64, out_channels=64, pool=1),
        num_classes=20,
        loss_weight=0.1,
        momentum=0.01,
    ),
]

train_pipeline = [
    dict(type="LoadDepthInputs", text="random"),
    dict(type="ResizeDepthInputs"),
    dict(type="PackDepthInputs"),
]
test_pipeline = [
    dict(type="LoadDepthInputs"),
    dict(type="ResizeDepthInputs", depth=False),
    dict(type="PackDepthInputs"),
]
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type="mmengine.InfiniteSampler", shuffle=True),
    dataset=dict(type="TableDataset", data_root=data_root, split="train", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=0,
    sampler=dict(type="mmengine.DefaultSampler", shuffle=False),
    dataset=dict(
        type="TableDataset",
        data_root=data_root,
        split="val",
        pipeline=test_pipeline,
        test_mode=True,
        max_error_share=0.2,
    ),
)
test_dataloader = dict(
    batch_size=32,
    num_workers=0,
    sampler=dict(type="mmengine.DefaultSampler", shuffle=False),
    dataset=dict(type="TableDataset", data_root=data_root, split="test", pipeline=test_pipeline, test_mode=True),
)
val_evaluator = test_evaluator = dict(type="DepthMetric")

max_iters = 1200
train_cfg = dict(type="mmengine.IterBasedTrainLoop", max_iters=max_iters, val_interval=300)
val_cfg = dict(type="mmengine.ValLoop")
test_cfg = dict(type="mmengine.TestLoop")
optim_wrapper = dict(
    type="mmengine.OptimWrapper",
    optimizer=dict(type="AdamW", lr=2e-3, weight_decay=1e-2),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type="mmengine.LinearLR", start_factor=0.05, by_epoch=False, begin=0, end=100),
    dict(type="mmengine.CosineAnnealingLR", by_epoch=False, begin=100, end=max_iters, eta_min=2e-5),
]
randomness = dict(seed=0)
