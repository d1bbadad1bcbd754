import pytest
import torch
from transformers import DPTImageProcessor

from pipelines.pretrain.relative_depth import ARCHITECTURES, MEAN, STD, evaluate, predict, ssi_loss, wake_head
from tr2m_plugin.models import RelativeDepth


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_each_architecture_learns_a_ramp_and_opens_as_a_relative_depth_network(name, tmp_path):
    torch.manual_seed(0)
    architecture = ARCHITECTURES[name]
    model = architecture.build()
    wake_head(model)
    inverse = torch.linspace(0.1, 1, 112)[:, None].expand(2, 112, 140)
    image = inverse[:, None].expand(2, 3, 112, 140)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    losses = []
    for _ in range(6):
        losses.append(ssi_loss(predict(model, image, architecture.size), inverse))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert predict(model, image, architecture.size).shape == (2, 112, 140)
    assert losses[-1] < 0.9 * losses[0]
    model.save_pretrained(tmp_path)
    size = dict(zip(("height", "width"), architecture.size, strict=True))
    DPTImageProcessor(size=size, keep_aspect_ratio=False, image_mean=MEAN, image_std=STD).save_pretrained(tmp_path)
    numbers = evaluate(RelativeDepth(str(tmp_path), size=(112, 140)), "rooms", count=2)
    assert 0 < numbers["d1"] <= 1
