"""DA Single of Table 3, outdoor scenes: Depth Anything fine-tuned for metric depth on KITTI alone."""

_base_ = ["da_mix.py"]

model = dict(max_depth=80.0)
train_dataloader, val_dataloader = dict(dataset=dict(datasets=["kitti"])), dict(dataset=dict(datasets=["kitti"]))
test_dataloader = dict(dataset=dict(datasets=["kitti", "diode"]))
