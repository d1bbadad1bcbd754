"""What `dvc.yaml` says of a stage's code is what the stage imports, so that `dvc repro` runs it again after changes."""

import ast
from pathlib import Path

import pytest
import yaml

QUIET = (
    "pipelines/params.py",
    *(
        f"tr2m_plugin/{name}"
        for name in ("checkpoint.py", "checks.py", "device.py", "errors.py", "files.py", "registry.py", "resuming.py")
    ),
    "tr2m_plugin/rows.py",  # what it holds is decided where rows are made
    "tr2m_plugin/trusted.py",
    "tr2m_plugin/weights",
    "tr2m_plugin/workers.py",
)
"""What refuses, finds or writes, and changes no number that is written."""
DVC = yaml.safe_load((Path(__file__).parents[2] / "dvc.yaml").read_text())["stages"]


def imported(path, package):
    """Modules of a package that a file imports, as paths without suffix."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == package:
            yield from ("/".join([*node.module.split("."), name.name]) for name in node.names)


def code(path):
    """The file or the package that an imported name is of."""
    whole = Path(path).with_suffix(".py")
    if whole.is_file():
        return whole
    return Path(path) if (Path(path) / "__init__.py").is_file() else code(Path(path).parent)


def needed(stage):
    """What a stage's module imports of the pipeline and of the package."""
    file = Path("pipelines", f"{stage}.py")
    found = {code(name) for package in ("pipelines", "tr2m_plugin") for name in imported(file, package)}
    return {file, *found} - {Path(name) for name in QUIET} - {Path("tr2m_plugin")}


@pytest.mark.parametrize("name", DVC)
def test_a_stage_depends_on_the_code_that_it_runs(name, repository, monkeypatch):
    monkeypatch.chdir(repository)
    stage = DVC[name].get("do", DVC[name])
    deps = [Path(dep) for dep in stage["deps"]]
    lacking = [str(file) for file in needed(name) if not any(file.is_relative_to(dep) for dep in deps)]
    assert sorted(lacking) == []


@pytest.mark.parametrize(
    ("name", "weights"), [("relative_depth", "mini_depth_anything"), ("embed_text", "mini_clip_text")]
)
def test_packaged_networks_are_dependencies(name, weights):
    assert f"tr2m_plugin/weights/{weights}" in DVC[name]["deps"]
