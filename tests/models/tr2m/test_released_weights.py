import time

import pytest
import torch

from tr2m_plugin.errors import InputError, UnsafeCheckpointError
from tr2m_plugin.models import RescaleNet, load_release_weights
from tr2m_plugin.models.tr2m.released_weights import _theirs, read_release, release_sizes

SIZES = {"image_channels": 32, "text_channels": 24, "out_channels": 16, "features": 12, "num_heads": 4}


def network(seed, **options):
    torch.manual_seed(seed)
    return RescaleNet(**{**SIZES, **options})


def released(net):
    return {_theirs(name): value for name, value in net.state_dict().items()}


def save(content, path):
    torch.save(content, path)
    return path


@pytest.mark.parametrize("prefix", ["", "scalemap.", "module.scalemap."])
@pytest.mark.parametrize("wrapped", [False, True])
def test_forms_of_the_release(tmp_path, prefix, wrapped):
    source, net = network(0), network(1)
    state = {prefix + name: value for name, value in released(source).items()}
    if prefix:
        state["image_encoder.weight"] = torch.zeros(1)  # another module's, which is no concern of the head
    path = save({"state_dict": state, "epoch": 3} if wrapped else state, tmp_path / "release.pth")
    assert load_release_weights(net, path) == []
    for name, value in source.state_dict().items():
        assert torch.equal(net.state_dict()[name], value), name


def test_sizes_come_from_the_shapes(tmp_path):
    path = save(released(network(0, head_channels=7)), tmp_path / "release.pth")
    sizes = release_sizes(read_release(path))
    assert {**sizes, "num_heads": 4} == {**SIZES, "head_channels": 7}
    same = network(0, text_channels=32)
    assert release_sizes(released(same))["text_channels"] == 32
    with pytest.raises(InputError, match=r"not the released head's weights: projects.weight"):
        release_sizes({"conv.weight": torch.zeros(1)})


def test_what_is_missing_or_left_over_or_of_another_shape_is_named(tmp_path):
    state = released(network(0))
    path = tmp_path / "release.pth"
    save({k: v for k, v in state.items() if not k.startswith("projects.")}, path)
    with pytest.raises(
        InputError, match=r"release.pth does not fit: 2 of \d+ tensors are missing \(projects.bias, projects"
    ):
        load_release_weights(network(1), path)
    save({**state, "more.weight": torch.zeros(1)}, path)
    with pytest.raises(InputError, match=r"1 tensors are left over \(more.weight\)"):
        load_release_weights(network(1), path)
    assert load_release_weights(network(1), path, strict=False) == ["more.weight"]
    with pytest.raises(InputError, match=r"projects.weight is \(16, 32, 1, 1\), not \(8, 32, 1, 1\)"):
        load_release_weights(network(1, out_channels=8), save(state, path))


def test_nothing_is_loaded_in_part(tmp_path):
    net = network(1)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = released(network(0))
    state.pop("layer1_rn.weight")
    with pytest.raises(InputError):
        load_release_weights(net, save(state, tmp_path / "release.pth"))
    assert all(torch.equal(net.state_dict()[name], value) for name, value in before.items())


class Code:
    def __reduce__(self):
        return print, ("executed",)


def test_bad_files(tmp_path, capsys):
    path = save(released(network(0)), tmp_path / "release.pth")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"release.pth is not a readable checkpoint"):
        load_release_weights(network(1), path)
    with pytest.raises(InputError, match=r"nowhere.pth does not exist"):
        load_release_weights(network(1), tmp_path / "nowhere.pth")
    with pytest.raises(InputError, match="holds no dict of tensors"):
        load_release_weights(network(1), save({"epoch": 3}, tmp_path / "other.pth"))
    with pytest.raises(UnsafeCheckpointError):
        load_release_weights(network(1), save({"state_dict": Code()}, tmp_path / "code.pth"))
    assert "executed" not in capsys.readouterr().out


def test_full_size_loads_in_seconds(tmp_path):
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in released(RescaleNet()).items()}
    path = save({f"module.scalemap.{n}": torch.full(s, 0.5) for n, s in shapes.items()}, tmp_path / "full.pth")
    net = RescaleNet()
    began = time.perf_counter()
    load_release_weights(net, path)
    assert (net.project.weight == 0.5).all()
    print(f"loaded in {time.perf_counter() - began:.2f} s")
