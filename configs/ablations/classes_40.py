"""Table 12: 40 classes of depth."""

_base_ = ["../{{$TR2M_BASE:tr2m_mixed}}.py"]

custom_hooks = [dict(_base_.custom_hooks[0], num_classes=40)]
