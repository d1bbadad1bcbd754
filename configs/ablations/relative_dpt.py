"""Table 9: DPT-Hybrid; its maps come from `more` of the stage relative_depth."""

_base_ = ["../{{$TR2M_BASE:tr2m_mixed}}.py"]

relative_depth = dict(pretrained=_base_.relative_networks.dpt)
loader = dict(dataset=dict(relative_depth="relative_depth/dpt"))
train_dataloader, val_dataloader, test_dataloader = loader, loader, loader
