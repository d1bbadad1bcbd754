import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tr2m_plugin.errors import InputError
from tr2m_plugin.state_dicts import fit, read_weights


def made():
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def test_what_fits_is_what_the_model_holds():
    state = made().state_dict()
    model = made()
    model.load_state_dict(fit(model, {**state, "hook.weight": torch.zeros(1)}, "a.pth", more=True))
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "options", "problem"),
    [
        ({"0.bias": None}, {}, r"1 of 7 tensors are missing \(0.bias\)"),
        ({"0.bias": None, "0.weight": None}, {"named": str.upper}, r"missing \(0.BIAS, 0.WEIGHT\)"),
        ({"x": torch.zeros(1)}, {}, r"1 tensors are left over \(x\)"),
        ({"0.bias": torch.zeros(2)}, {}, r"1 tensors have another shape \(0.bias is \(2,\), not \(3,\)\)"),
        ({"0.bias": torch.zeros(3, dtype=torch.int64)}, {}, r"another kind of number \(0.bias is torch.int64, not"),
        ({"0.bias": None, "x": torch.zeros(1)}, {}, r"missing \(0.bias\); 1 tensors are left over \(x\)"),
        ({f"x{i}": torch.zeros(1) for i in range(5)}, {}, r"5 tensors are left over \(x0, x1, x2 and 2 more\)"),
    ],
)
def test_what_does_not_fit_is_counted_and_named(changes, options, problem):
    state = {name: value for name, value in {**made().state_dict(), **changes}.items() if value is not None}
    with pytest.raises(InputError, match=rf"^a.pth does not fit: .*{problem}"):
        fit(made(), state, "a.pth", **options)


def test_what_may_be_missing_is_no_fault():
    state = made().state_dict()
    del state["1.num_batches_tracked"]
    found = fit(made(), state, "a.pth", spare=lambda name: name.endswith("num_batches_tracked"))
    assert set(found) == set(state)


def test_weights_are_unwrapped(tmp_path):
    state = made().state_dict()
    torch.save({"model": state, "epoch": 3}, tmp_path / "a.pth")
    torch.save({"state_dict": state, "meta": {}}, tmp_path / "b.pth")
    save_file(state, tmp_path / "c.safetensors")
    for file in ("a.pth", "b.pth", "c.safetensors"):
        name, found = read_weights(tmp_path / file)
        assert name == str(tmp_path / file)
        assert set(found) == set(state)
    assert read_weights({"model": state})[0] == "the state dict"
    torch.save({"model": {"a": "text"}}, tmp_path / "d.pth")
    with pytest.raises(InputError, match=r"d.pth holds no dict of tensors"):
        read_weights(tmp_path / "d.pth")
