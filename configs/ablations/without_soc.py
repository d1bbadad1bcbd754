"""Table 4, third row: without scale-oriented contrast."""

_base_ = ["../{{$TR2M_BASE:tr2m_mixed}}.py"]

custom_hooks = []
