"""Table 12: 40 classes of depth."""

_base_ = ["../{{$TR2M_BASE:tr2m_mixed}}.py"]

custom_hooks = [dict(_base_.custom_hooks[0], loss=dict(num_classes=40, loss_weight=0.1))]
