"""Without pseudo depth."""

_base_ = ["../{{$TR2M_BASE:tr2m_mixed}}.py"]

model = dict(loss_pseudo=None)
