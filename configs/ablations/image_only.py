"""Table 5: the image without the sentence."""

_base_ = ["../{{$TR2M_BASE:tr2m_mixed}}.py"]

model = dict(rescale_net=dict(modalities="image"))
