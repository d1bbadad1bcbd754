import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from tr2m_plugin.errors import InputError
from tr2m_plugin.inference.model_folder import ModelSpec, load_spec, open_model, spec_of
from tr2m_plugin.weights import packaged


@pytest.fixture
def folder(trained, tmp_path):
    return shutil.copytree(trained / "model", tmp_path / "model")


def test_a_folder_holds_the_best_checkpoint_without_trainings_additions(trained):
    model, spec = open_model(trained / "model")
    state = load_file(trained / "model" / "model.safetensors")
    assert set(state) == set(model.state_dict())
    assert not any("soc" in name or "encoder" in name for name in state)
    assert spec.about["config"].endswith("tr2m_mini.py")
    assert spec.about["iteration"] > 0
    assert not model.training
    assert "tr2m_mini" in packaged()


def test_the_unit_follows_the_description():
    spec = ModelSpec({}, {}, {}, {"mm": ["colon"]})
    assert spec.unit_of("A view of the Colon.") == "mm"
    assert spec.unit_of("A kitchen.") == "m"


def test_what_does_not_fit_is_named(folder):
    state = load_file(folder / "model.safetensors")
    name = sorted(state)[0]
    save_file({k: v for k, v in state.items() if k != name}, folder / "model.safetensors")
    with pytest.raises(InputError, match=rf"model.safetensors does not fit: 1 of 51 tensors are missing \({name}\)"):
        open_model(folder)
    save_file({**state, name: torch.zeros(1, 2, 3)}, folder / "model.safetensors")
    with pytest.raises(InputError, match=rf"1 tensors have another shape \({name} is \(1, 2, 3\), not "):
        open_model(folder)


def test_other_folders_are_refused(tmp_path, folder):
    with pytest.raises(InputError, match=r"is not a model folder: it has no config.json"):
        load_spec(tmp_path)
    (folder / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config.json is not JSON"):
        load_spec(folder)
    (folder / "config.json").write_text(json.dumps({"format": "other"}))
    with pytest.raises(InputError, match="does not describe a TR2M model"):
        load_spec(folder)


def test_a_config_without_the_frozen_networks_is_refused():
    with pytest.raises(InputError, match="the config has no 'relative_depth'"):
        spec_of({"model": {}})
