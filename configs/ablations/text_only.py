"""Table 5: the sentence without the image."""

_base_ = ["../{{$TR2M_BASE:tr2m_mixed}}.py"]

model = dict(rescale_net=dict(modalities="text"))
