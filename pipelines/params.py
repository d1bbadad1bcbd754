"""What every stage starts with: its section of params.yaml and the profile's folder."""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tr2m_plugin
from tr2m_plugin.errors import InputError, TR2MError
from tr2m_plugin.files import read_text, sweep
from tr2m_plugin.plain_yaml import parse_yaml

PARAMS = Path("params.yaml")
"""What the stages read, from the repository's root."""


@dataclass(frozen=True)
class Stage:
    """A stage's surroundings.

    Attributes:
        profile: name of the profile in params.yaml.
        params: the stage's section.
        root: folder of the profile's data and weights, `work/{profile}`.
        item: which of a stage's several runs this is, such as `llava_vicuna` of `describe@llava_vicuna`.
    """

    profile: str
    params: dict[str, Any]
    root: Path
    item: str = ""

    def count(self, name: str, default: int | None) -> Any:
        """A parameter that is a whole number above 0; None where that is the default and none is given.

        Raises:
            InputError: it is something else.
        """
        value = self.params.get(name, default)
        if value is None and default is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
            raise InputError(f"{name} must be a whole number above 0, not {value!r:.100}")
        return value

    def share(self, name: str, default: float) -> float:
        """A parameter that is a share.

        Raises:
            InputError: it is no number from 0 to 1.
        """
        value = self.params.get(name, default)
        if not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise InputError(f"{name} must be a number from 0 to 1, not {value!r:.100}")
        return value


def load_stage(profile: str | None, name: str, path: Path = PARAMS, item: str = "") -> Stage:
    """Reads a stage's section, or that of one of its items.

    Args:
        profile: which of the profiles; None: the one that the file's entry `profile` names.
        name: name of the stage.
        path: the file. Default: params.yaml.
        item: which of the stage's items. Default: it has none.

    Raises:
        InputError: the file, the profile or the section is missing or not what it should be; the message says which.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist: run the pipeline from the repository's root")
    content = parse_yaml(read_text(path), str(path), aliases=True)
    profiles = _section(content, "profiles", path)
    profile = content.get("profile") if profile is None else profile
    # The name becomes that of a folder, and of one inside `work`.
    if not (isinstance(profile, str) and re.fullmatch(r"[A-Za-z0-9_-]+", profile)):
        raise InputError(f"the profile's name in {path} must be of letters, digits, _ and -, not {profile!r}")
    if profile not in profiles:
        raise InputError(f"{path} has no profile {profile!r}; it has {', '.join(map(str, profiles))}")
    section = _section(_section(profiles, profile, path), name, path, f"profile {profile!r} in {path}")
    if item:
        section = _section(section, item, path, f"profile {profile!r} in {path}", f"{name}.{item}")
    return Stage(profile, section, Path("work") / profile, item)


def _section(content: Any, key: str, path: Path, owner: str = "", name: str = "") -> dict[str, Any]:
    """An entry that holds others; an empty one holds none."""
    owner, name = owner or str(path), name or key
    if not isinstance(content, dict) or key not in content:
        raise InputError(f"{owner} has no section {name!r}")
    section = content[key]
    if not isinstance(section, dict | None):
        raise InputError(f"{owner}: {name} must hold names and values, not {section!r:.100}")
    return section or {}


def run_stage(name: str, description: str | None, stage: Callable[[Stage], None], items: bool = False) -> None:
    """The command line of a stage: `python -m pipelines.{name}`, with an ITEM where it has several.

    What killed runs left half written below the profile's folder is removed first. An expected error, or one of the
    system such as a full disk, is printed in one line and ends the process with status 2; an interruption with 130.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", help="profile in params.yaml (default: the one it names on top)")
    if items:
        parser.add_argument("item", help="which section below the stage's")
    args = parser.parse_args()
    try:
        run = load_stage(args.profile, name, item=args.item if items else "")
        for folder in {path.parent for path in run.root.rglob(".partial-*")}:
            sweep(folder)
        stage(run)
    except (TR2MError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        sys.exit(130)


def digest(value: Any, length: int = 10) -> str:
    """A short hash of anything JSON can hold; equal values give equal hashes."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:length]


def digest_files(paths: list[Path], length: int = 10) -> str:
    """A short hash of the contents of files, in their order."""
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while part := file.read(2**24):  # weights may be larger than memory
                total.update(part)
    return total.hexdigest()[:length]


def package_files(names: Sequence[str]) -> list[Path]:
    """The modules of some files and folders of the package.

    Raises:
        FileNotFoundError: there is none of a name.
    """
    package = Path(tr2m_plugin.__file__).parent
    named = [package / name for name in names]
    missing = [str(path) for path in named if not path.exists()]
    if missing:
        raise FileNotFoundError(", ".join(missing))
    return sorted(file for path in named for file in ([path] if path.is_file() else path.rglob("*.py")))


def code_digest(path: Path) -> str:
    """A hash of what a module does, which its comments, docstrings and layout do not change."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            # A text that is a statement says something to readers only.
            node.body = [s for s in body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]  # type: ignore[attr-defined]
    return digest(ast.unparse(tree))
