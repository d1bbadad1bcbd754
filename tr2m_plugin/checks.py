"""What options must be, and how YAML writes them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import yaml

_WHOLE = r"(?:0|[1-9][\d_]*)"
_NUMBERS = {
    "tag:yaml.org,2002:int": rf"[-+]?(?:{_WHOLE}|0x[\da-f]+)",
    "tag:yaml.org,2002:float": rf"[-+]?(?:(?:{_WHOLE}\.\d*|\.\d+)(?:e[-+]?\d+)?|{_WHOLE}e[-+]?\d+|\.inf)|\.nan",
}


class _Loader(yaml.SafeLoader):
    """Numbers as people mean them: PyYAML takes 1e-3 for a word, 0001 for octal and 12:30 for 750."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag not in _NUMBERS]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _pattern in _NUMBERS.items():
    _Loader.add_implicit_resolver(_tag, re.compile(rf"(?:{_pattern})$", re.IGNORECASE), list("-+0123456789."))


def parse_yaml(text: str) -> Any:
    """What a YAML text holds, as plain Python: 1e-3 is a number, and 0001 a word, such as a sample id.

    Raises:
        yaml.YAMLError: it is not YAML, or asks for more than plain values.
    """
    return yaml.load(text, _Loader)


def are_numbers(value: Any, count: int | None = None, whole: bool = False) -> bool:
    """Whether an option is a list of finite numbers, `count` of them unless it is None; `whole` takes integers only."""
    kinds = int if whole else (int, float)
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and len(value) == (len(value) if count is None else count)
        and all(isinstance(n, kinds) and not isinstance(n, bool) and math.isfinite(n) for n in value)
    )


def is_window(value: Any) -> bool:
    """Whether an option is top, bottom, left and right in whole pixels, with something between them."""
    return are_numbers(value, 4, whole=True) and 0 <= value[0] < value[1] and 0 <= value[2] < value[3]


def is_name(value: Any) -> bool:
    """Whether a dataset can be called that: printable characters without a slash, and more than dots and blanks."""
    return isinstance(value, str) and value.isprintable() and "/" not in value and bool(value.strip(". "))
