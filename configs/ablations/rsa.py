"""RSA's network in TR2M's recipe: two factors from the sentence alone, neither pseudo depth nor contrast."""

_base_ = ["../{{$TR2M_BASE:tr2m_mixed}}.py"]

model = dict(
    rescale_net=dict(_delete_=True, type="RescaleFactors", text_channels=_base_.model.rescale_net.text_channels),
    loss_pseudo=None,
)
custom_hooks = []
