import torch
import torch.nn.functional as F

from tr2m_plugin.models import RescaleFactors

# text to 512, 512, 512, 256, 256; then, twice, 256, 128, 128, 64, 1
SHARED, HEAD = (
    [(512, 768), (512, 512), (512, 512), (256, 512), (256, 256)],
    [(256, 256), (128, 256), (128, 128), (64, 128)],
)


def test_the_layers_are_those_published():
    net = RescaleFactors()
    shapes = [tuple(p.shape) for name, p in net.named_parameters() if name.endswith("weight")]
    assert shapes == [*SHARED, *[*HEAD, (1, 64)] * 2]


def test_factors_are_exponentials_of_the_sentence_alone():
    torch.manual_seed(0)
    net = RescaleFactors(text_channels=6, widths=(5, 4), head_widths=(3,), coef_scale=0.5)
    image, text = torch.randn(2, 12, 8), torch.randn(2, 1, 6)
    out = net(image, text, (3, 4))
    x = text[:, 0]
    for layer in (net.shared[0], net.shared[2]):
        x = F.leaky_relu(F.linear(x, layer.weight, layer.bias))
    for factor, head, coef in ((out.scale, net.scale_head, 0.5), (out.shift, net.shift_head, 1.0)):
        y = F.linear(F.leaky_relu(F.linear(x, head[0].weight, head[0].bias)), head[2].weight, head[2].bias)
        assert factor.shape == (2, 1, 42, 56)
        torch.testing.assert_close(factor, (coef * y.exp())[..., None, None].expand(factor.shape))
    assert torch.equal(net(image + 1, text, (3, 4)).scale, out.scale)
    assert out.fused is None


def test_gradients():
    net = RescaleFactors(text_channels=3, widths=(4,), head_widths=(3,)).double()
    text = torch.randn(1, 1, 3, dtype=torch.float64, requires_grad=True)

    def factors(text):
        out = net(torch.zeros(1, 1, 1), text, (1, 1))
        return out.scale.mean(), out.shift.mean()

    assert torch.autograd.gradcheck(factors, text)
