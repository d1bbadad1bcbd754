"""DA Single of Table 3, indoor scenes: Depth Anything fine-tuned for metric depth on NYUv2 alone."""

_base_ = ["da_mix.py"]

model = dict(max_depth=10.0)
train_dataloader, val_dataloader = dict(dataset=dict(datasets=["nyu"])), dict(dataset=dict(datasets=["nyu"]))
test_dataloader = dict(dataset=dict(datasets=["nyu", "sun_rgbd", "ibims", "hypersim"]))
