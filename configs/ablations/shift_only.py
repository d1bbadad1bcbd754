"""Table 11: a shift map and no scale."""

_base_ = ["../{{$TR2M_BASE:tr2m_mixed}}.py"]

model = dict(rescale_net=dict(maps="shift"))
