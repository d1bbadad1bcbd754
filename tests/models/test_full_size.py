"""The paper's sizes, with random weights."""

import pytest

from benchmarks.train_step import peak_memory, run


@pytest.mark.slow
def test_a_full_size_training_step(record_property):
    """DINOv2 ViT-L and the whole head on a picture of 434 × 560, with every loss and the contrast."""
    _, runner = run("full", batch=1, steps=0, cached=False, device="cpu")
    trained = sum(p.numel() for p in runner.model.rescale_net.parameters())
    assert trained == 18_959_746
    assert sum(p.numel() for p in runner.model.image_encoder.network.parameters()) > 300e6
    logs = runner.message_hub.log_scalars
    for name in ("loss_si", "loss_pseudo", "loss_soc", "loss_smooth"):
        assert 0 <= logs[f"train/{name}"].current() < 1e3
    assert logs["train/loss_soc"].current() > 0
    memory = peak_memory("cpu")
    record_property("peak_memory_gb", memory)
    print(f"{memory:.1f} GB")
    assert memory < 12
