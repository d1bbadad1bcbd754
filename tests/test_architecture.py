"""Which way imports go: down, never in a circle; see docs/architecture.md."""

import ast
from collections import defaultdict

import pytest

GROUND = "the ground"
ALLOWED = {
    "datasets": set(),
    "losses": set(),
    "contrast": {"losses"},
    "weights": set(),
    "models": {"datasets", "weights"},
    "evaluation": {"losses"},
    "hooks": {"contrast", "losses"},
    "description": {"datasets", "models"},
    "visualization": {"evaluation", "losses"},
    "inference": {"datasets", "evaluation", "models", "visualization", "weights"},
    "benchmark": {"contrast", "datasets", "description", "evaluation", "hooks", "inference", "models", "visualization"},
    "tools": set(),
    "page": {"datasets", "description", "inference", "visualization"},
    "cli": {"benchmark", "datasets", "description", "inference", "page", "tools", "visualization"},
    "pipelines": {
        *("benchmark", "datasets", "description", "evaluation", "inference"),
        *("models", "tools", "visualization", "weights"),
    },
}
"""What each package may import, besides the single modules on the ground."""


def modules(repository):
    """Files by the names of their modules."""
    files = [file for folder in ("tr2m_plugin", "pipelines") for file in (repository / folder).rglob("*.py")]
    names = {file: ".".join(file.relative_to(repository).with_suffix("").parts) for file in files}
    return {name.removesuffix(".__init__"): file for file, name in names.items()}


def imports(file, known):
    """The modules of ours that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in known else node.module for name in full if {name, node.module} & set(known))


@pytest.fixture(scope="module")
def arrows(repository):
    """Module → modules that it imports."""
    known = modules(repository)
    return {name: set(imports(file, known)) - {name} for name, file in known.items()}


def package(module):
    """The package of a module, or the ground."""
    top, *rest = module.split(".")
    return top if top == "pipelines" else rest[0] if rest and rest[0] in ALLOWED else GROUND


def test_imports_go_down(arrows):
    upward = defaultdict(set)
    for module, imported in arrows.items():
        own = package(module)
        for name in imported:
            other = package(name)
            lazily = module == "tr2m_plugin"  # which names two classes and imports them when they are asked for
            if other not in (own, GROUND) and not lazily and (own == GROUND or other not in ALLOWED[own]):
                upward[module].add(name)
    assert dict(upward) == {}


def test_what_is_allowed_is_used(arrows):
    used = defaultdict(set)
    for module, imported in arrows.items():
        used[package(module)] |= {package(name) for name in imported} - {package(module), GROUND}
    assert {name: used[name] for name in ALLOWED} == ALLOWED


def test_imports_run_in_no_circle(arrows):
    left = dict(arrows)
    while free := [name for name, imported in left.items() if not imported & left.keys()]:
        for name in free:
            del left[name]
    assert sorted(left) == []


def test_nothing_is_too_long(repository):
    """Median file at most 120 lines, none over 350; no function over 60, no class over 220."""
    files = list(modules(repository).values())
    lines = {file: file.read_text(encoding="utf-8").count("\n") for file in files}
    assert sorted(lines.values())[len(lines) // 2] <= 120
    assert [str(file) for file, count in lines.items() if count > 350] == []
    nodes = [(file, node) for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
    most = {ast.FunctionDef: 60, ast.ClassDef: 220}
    sized = [(file, node, node.end_lineno - node.lineno + 1) for file, node in nodes if type(node) in most]
    assert [f"{file}:{node.name}" for file, node, count in sized if count > most[type(node)]] == []
