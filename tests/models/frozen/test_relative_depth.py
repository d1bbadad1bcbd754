import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import AutoImageProcessor, AutoModelForDepthEstimation

from tr2m_plugin.errors import InputError
from tr2m_plugin.models import RelativeDepth
from tr2m_plugin.weights import packaged, resolve_pretrained


def pictures(count=2, size=(60, 80)):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (*size, 3), np.uint8) for _ in range(count)]


def test_equals_transformers_with_the_networks_own_preprocessing(depth_anything):
    network = RelativeDepth(str(depth_anything))
    inputs = AutoImageProcessor.from_pretrained(depth_anything)(images=pictures(), return_tensors="pt")
    with torch.no_grad():
        expected = AutoModelForDepthEstimation.from_pretrained(depth_anything)(**inputs).predicted_depth
    depth = network.predict(pictures())
    assert depth.shape[1] == 1
    torch.testing.assert_close(depth[:, 0], expected)


def test_a_given_size_stretches(depth_anything):
    network = RelativeDepth(str(depth_anything), size=(56, 84))
    depth = network.predict(pictures(size=(60, 80)) + pictures(1, size=(100, 50)))
    assert depth.shape == (3, 1, 56, 84)
    assert (depth >= 0).all()


@pytest.mark.parametrize("aligned", [False, True])
def test_pictures_that_are_not_normalised(aligned):
    network = RelativeDepth("mini_depth_anything", size=(56, 84))
    given = pictures(size=(56, 84))
    (seen,) = network.preprocess(given, (56, 84), aligned, normalize=False)
    np.testing.assert_allclose(seen.numpy(), np.stack(given).transpose(0, 3, 1, 2) / 255, atol=1e-6)
    plain = network.predict(given, aligned=aligned, normalize=False)
    torch.testing.assert_close(plain, network(seen))
    assert not torch.allclose(plain, network.predict(given, aligned=aligned))


def test_low_pictures_are_pictures_with_three_channels(depth_anything):
    network = RelativeDepth(str(depth_anything))
    for height in (1, 2, 3):
        (picture,) = pictures(1, (height, 40))
        (low,) = network.preprocess([picture], (56, 84))
        (high,) = network.preprocess([np.repeat(picture, 20, axis=0)], (56, 84))
        assert low.shape == (1, 3, 56, 84)
        torch.testing.assert_close(low.mean(dim=2), high.mean(dim=2), rtol=0, atol=0.1)


@pytest.mark.parametrize("name", ["mini_midas", "mini_dpt"])
def test_other_networks_see_pictures_at_their_own_size(name):
    """MiDaS's and DPT's classes: the network's own preprocessing, whatever size the output is wanted at."""
    folder = resolve_pretrained(name)
    images = [*pictures(1, (60, 80)), *pictures(1, (100, 50))]
    inputs = AutoImageProcessor.from_pretrained(folder)(images=images, return_tensors="pt")
    assert inputs["pixel_values"].shape == (2, 3, 128, 128)
    with torch.no_grad():
        raw = AutoModelForDepthEstimation.from_pretrained(folder, dtype=torch.float32)(**inputs).predicted_depth
    expected = F.interpolate(raw[:, None], (56, 84), mode="bilinear", align_corners=True)
    torch.testing.assert_close(RelativeDepth(name, size=(56, 84)).predict(images), expected)
    assert (expected >= 0).all()
    assert expected.std() > 0


def test_aspect_ratios_are_kept_where_the_network_keeps_them(depth_anything):
    network = RelativeDepth(str(depth_anything))
    wide, tall = pictures(1, (60, 120)), pictures(1, (120, 60))
    assert network.predict(wide).shape[-1] > network.predict(wide).shape[-2]
    with pytest.raises(InputError, match=r"make no batch: set `size`"):
        network.predict([*wide, *tall])
    both = network.predict([*wide, *tall], size=(56, 70))
    torch.testing.assert_close(both[1:], network.predict(tall, size=(56, 70)))


@pytest.mark.skipif("mini_depth_anything" not in packaged(), reason="weights are not there")
def test_the_packaged_network_sees_that_the_floor_is_near():
    floor = np.full((112, 140, 3), 120, np.uint8)
    floor[:56] = (150, 180, 220)
    depth = RelativeDepth("mini_depth_anything", size=(112, 140)).predict([floor])[0, 0]
    assert depth[-10:].mean() > 2 * depth[:40].mean()


def test_the_originals_positions_are_depth_anythings():
    """Other networks have none to move, and are left as they are."""
    images = pictures()
    for name, moved in (("mini_depth_anything", True), ("mini_midas", False), ("mini_dpt", False)):
        plain, offset = (RelativeDepth(name, size=(84, 140), position_offset=by).predict(images) for by in (0.0, 0.1))
        assert torch.equal(plain, offset) is not moved, name
