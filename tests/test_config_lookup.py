"""Configs that inherit the package's, from wherever they lie."""

import pytest
from mmengine.config import Config

from tr2m_plugin import config_lookup
from tr2m_plugin.config_lookup import config_folder
from tr2m_plugin.errors import InputError
from tr2m_plugin.tools.train import load_config


def mine(folder, base, text=""):
    path = folder / "mine.py"
    path.write_text(f"_base_ = ['{base}']\n{text}")
    return path


def test_a_config_inherits_the_packages(tmp_path, repository):
    assert config_folder() == repository / "configs"
    path = mine(tmp_path, "tr2m_plugin::tr2m_mini.py", "optim_wrapper = dict(optimizer=dict(lr=5e-4))\n")
    config, base = Config.fromfile(path), Config.fromfile(repository / "configs" / "tr2m_mini.py")
    assert config.optim_wrapper.optimizer.lr == 5e-4
    config.optim_wrapper.optimizer.lr = base.optim_wrapper.optimizer.lr
    assert config.to_dict() == base.to_dict()
    assert load_config(str(path), data_root="there").train_dataloader.dataset.data_root == "there"
    assert Config.fromfile(mine(tmp_path, "tr2m_plugin::_base_/default_runtime.py")).log_level == "INFO"


def test_a_wheel_holds_them_in_the_package(tmp_path, monkeypatch):
    packaged = tmp_path / "tr2m_plugin" / ".mim" / "configs"
    packaged.mkdir(parents=True)
    (packaged / "a.py").write_text("answer = 42\n")
    monkeypatch.setattr(config_lookup, "__file__", str(tmp_path / "tr2m_plugin" / "config_lookup.py"))
    assert Config.fromfile(mine(tmp_path, "tr2m_plugin::a.py")).answer == 42


def test_other_names_are_as_before(tmp_path):
    with pytest.raises(InputError, match=r"tr2m_plugin::no.py, which does not exist; beside it are tr2m_mini.py"):
        Config.fromfile(mine(tmp_path, "tr2m_plugin::no.py"))
    with pytest.raises(AssertionError, match="does not support to load"):
        Config.fromfile(mine(tmp_path, "somebody::a/b.py"))
    (tmp_path / "b.py").write_text("answer = 1\n")
    assert Config.fromfile(mine(tmp_path, "b.py")).answer == 1
