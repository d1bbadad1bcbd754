"""What options of the command must be: argparse's types, and NAME=VALUE."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import Any

from tr2m_plugin.errors import InputError


def count(text: str) -> int:
    """Reads a whole number above 0."""
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def number(text: str) -> int:
    """Reads a whole number from 0 on."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def factor(text: str) -> float:
    """Reads a finite number above 0."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not (found > 0 and math.isfinite(found)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return found


def parse_options(given: Sequence[str]) -> dict[str, Any]:
    """Reads options as NAME=VALUE, values as in YAML.

    Raises:
        InputError: one has no equals sign, or its value is not YAML.
    """
    from tr2m_plugin.plain_yaml import parse_yaml

    options = {}
    for option in given:
        name, mark, value = option.partition("=")
        if not mark:
            raise InputError(f"options are NAME=VALUE, not {option!r}")
        options[name] = parse_yaml(value, name)
    return options
