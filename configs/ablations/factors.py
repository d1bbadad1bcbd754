"""Table 4, first row: two factors instead of maps, neither pseudo depth nor contrast."""

_base_ = ["../{{$TR2M_BASE:tr2m_mixed}}.py"]

model = dict(rescale_net=dict(factors=True), loss_pseudo=None)
custom_hooks = []
