"""Table 4, second row: maps alone, neither pseudo depth nor contrast."""

_base_ = ["../{{$TR2M_BASE:tr2m_mixed}}.py"]

model = dict(loss_pseudo=None)
custom_hooks = []
