"""DA Single of Table 3, surgical scenes: Depth Anything fine-tuned for metric depth on C3VD alone."""

_base_ = ["da_mix.py"]

model = dict(max_depth=100.0)
train_dataloader, val_dataloader = dict(dataset=dict(datasets=["c3vd"])), dict(dataset=dict(datasets=["c3vd"]))
test_dataloader = dict(dataset=dict(datasets=["c3vd", "simcol"]))
