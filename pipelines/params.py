"""What every stage starts with: its section of params.yaml and the profile's folder."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tr2m_plugin.errors import InputError, TR2MError
from tr2m_plugin.files import parse_yaml, read_text


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


def load_stage(profile: str, name: str, path: Path = Path("params.yaml"), item: str = "") -> Stage:
    """Reads a stage's section, or that of one of its items.

    Raises:
        InputError: params.yaml, the profile or the section is missing; the message says which.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist: run the pipeline from the repository's root")
    try:
        profiles = parse_yaml(read_text(path), str(path), aliases=True)["profiles"]
    except (InputError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no YAML file with a section `profiles`: {error}") from error
    if profile not in profiles:
        raise InputError(f"{path} has no profile {profile!r}; it has {', '.join(profiles)}")
    if name not in profiles[profile]:
        raise InputError(f"profile {profile!r} in {path} has no section {name!r}")
    section = profiles[profile][name] or {}
    if item:
        if item not in section:
            raise InputError(f"profile {profile!r} in {path} has no section {name}.{item}")
        section = section[item] or {}
    return Stage(profile, section, Path("work") / profile, item)


def run_stage(name: str, description: str | None, stage: Callable[[Stage], None], items: bool = False) -> None:
    """The command line of a stage: `python -m pipelines.{name} --profile NAME`, with an ITEM where it has several.

    An expected error is printed in one line and ends the process with status 2.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="mini", help="profile in params.yaml (default: mini)")
    if items:
        parser.add_argument("item", help="which section below the stage's")
    args = parser.parse_args()
    try:
        stage(load_stage(args.profile, name, item=args.item if items else ""))
    except TR2MError as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(2)


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
