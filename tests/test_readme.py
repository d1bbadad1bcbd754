"""What the README shows is what was measured."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml
from dvc.utils.hydra import apply_overrides

from tr2m_plugin.tools.train import load_config

ROWS = {
    "**TR2M**": "TR2M",
    "TR2M, another scene's description": "TR2M, another scene's description",
    "TR2M, another domain's description": "TR2M, another domain's description",
    "median per image †": "mini_depth_anything median",
    "linear fit per image †": "mini_depth_anything linear fit",
    "global fit †": "mini_depth_anything global (all datasets)",
    "fit per dataset †": "mini_depth_anything global",
}


def cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def test_the_results_are_those_of_the_packaged_model(repository):
    lines = (repository / "README.md").read_text().splitlines()
    metrics = json.loads((repository / "tr2m_plugin" / "weights" / "tr2m_mini" / "metrics.json").read_text())
    start = next(i for i, line in enumerate(lines) if line.startswith("| δ1 |"))
    datasets = [name.strip("\\*").replace(" ", "_") for name in cells(lines[start])[1:]]
    assert set(metrics["TR2M"]["datasets"]) == set(datasets)
    for line, (label, method) in zip(lines[start + 2 :], ROWS.items()):  # noqa: B905 (text follows the table)
        shown = cells(line)
        assert shown[0] == label
        for dataset, value in zip(datasets, shown[1:], strict=True):
            if value:
                assert float(value) == pytest.approx(metrics[method]["datasets"][dataset]["d1"], abs=0.0051), (
                    method,
                    dataset,
                )
            else:
                assert dataset not in metrics[method]["datasets"]


def test_the_quickstart_is_two_commands_that_exist(repository):
    text = (repository / "README.md").read_text()
    block = re.search(r"## Quickstart\n+```\n(.*?)```", text, re.DOTALL)
    assert block
    commands = block[1].split("\n")[:-1]
    assert commands == ["make demo", "make test"]
    makefile = (repository / "Makefile").read_text()
    assert all(f"\n{command.split()[1]}: " in makefile for command in commands)


def test_what_is_not_on_pypi_is_not_fetched_from_there(repository):
    text = (repository / "README.md").read_text()
    assert "not on PyPI" in text
    for path in (repository / "README.md", *(repository / "docs").glob("*.md")):
        assert not re.search(r"pip install '?tr2m_plugin", path.read_text()), path


def test_the_experiments_overrides_are_taken(repository, tmp_path):
    (command,) = re.findall(r"^dvc exp run (.*)$", (repository / "README.md").read_text(), re.MULTILINE)
    overrides = [word for word in shlex.split(command) if word != "-S"]
    params = shutil.copy(repository / "params.yaml", tmp_path)
    apply_overrides(Path(params), overrides)
    profile = yaml.safe_load(Path(params).read_text())["profiles"]["pictures"]
    assert profile["report"]["title"] == "Larger steps"
    config = load_config(str(repository / profile["train"]["config"]), profile["train"]["options"])
    assert config.optim_wrapper.optimizer.lr == 0.0005


def test_links_lead_somewhere(repository):
    text = (repository / "README.md").read_text()
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (repository / target).exists(), target
