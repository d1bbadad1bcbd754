"""Table 11: a scale map and no shift."""

_base_ = ["../{{$TR2M_BASE:tr2m_mixed}}.py"]

model = dict(rescale_net=dict(maps="scale"))
