"""What docs/experiments.md says of overrides and configs holds."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from mmengine.config import Config

from tr2m_plugin.tools.train import load_config


@pytest.fixture(scope="module")
def page(repository):
    return (repository / "docs" / "experiments.md").read_text()


def test_the_override_is_taken(page, repository, tmp_path):
    (command,) = re.findall(r"^dvc exp run -n steps (.*)$", page, re.MULTILINE)
    params = Path(shutil.copy(repository / "params.yaml", tmp_path))
    apply_overrides(params, [word for word in shlex.split(command) if word != "-S"])
    train = yaml.safe_load(params.read_text())["profiles"]["mini"]["train"]
    assert load_config(str(repository / train["config"]), train["options"]).optim_wrapper.optimizer.lr == 0.004


def test_the_config_with_dvclive_has_the_commented_line_of_the_runtime(page, repository, tmp_path):
    (text,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "mine.py").write_text(text)
    local, live = Config.fromfile(tmp_path / "mine.py").visualizer.vis_backends
    assert (local.type, live.type) == ("mmengine.LocalVisBackend", "mmengine.DVCLiveVisBackend")
    runtime = (repository / "configs" / "_base_" / "default_runtime.py").read_text()
    (commented,) = re.findall(r"# (dict\(type=\"mmengine.DVCLive.*\)),", runtime)
    assert f"live = {commented}\n" in text


def test_links_lead_somewhere(page, repository):
    for target in re.findall(r"\]\((?!http)([^)#]+)", page):
        assert (repository / "docs" / target).exists(), target
