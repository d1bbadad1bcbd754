"""NeWCRFs at small widths on the miniature world's rooms, minutes on two cores; tested in its hallway too."""

_base_ = ["newcrfs_swinl_50e_nyu.py"]

data_root = "{{$TR2M_DATA_ROOT:work/mini}}"
size = (128, 160)

model = dict(version="mini07", max_depth=12.0, drop_path_rate=0.1, pretrained=None)

train_pipeline = [
    dict(type="LoadDepthInputs"),
    dict(type="ResizeDepthInputs", size=size),
    dict(type="RandomRotateDepth", degrees=2.5),
    dict(type="RandomFlipDepth"),
    dict(type="RandomColor", brightness=(0.75, 1.25)),
    dict(type="PackDepthInputs"),
]
test_pipeline = [
    dict(type="LoadDepthInputs"),
    dict(type="ResizeDepthInputs", size=size, depth=False),
    dict(type="PackDepthInputs"),
]
train_dataloader = dict(num_workers=0, dataset=dict(data_root=data_root, datasets=["rooms"], pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=20,
    num_workers=0,
    dataset=dict(data_root=data_root, split="val", datasets=["rooms"], pipeline=test_pipeline),
)
test_dataloader = dict(
    batch_size=20,
    num_workers=0,
    dataset=dict(data_root=data_root, datasets=["rooms", "hallway"], pipeline=test_pipeline),
)

max_epochs = 12
train_cfg = dict(max_epochs=max_epochs, val_interval=3)
# From random weights, on few pictures: a larger rate than fine-tuning has.
optim_wrapper = dict(optimizer=dict(lr=5e-4), clip_grad=dict(max_norm=1.0))
param_scheduler = [
    dict(type="mmengine.PolyLR", power=0.9, eta_min=2e-6, end=max_epochs, convert_to_iter_based=True),
]
