"""What options must be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


def are_numbers(value: Any, count: int | None = None, whole: bool = False) -> bool:
    """Whether an option is a list of finite numbers, `count` of them unless it is None; `whole` takes integers only."""
    kinds = int if whole else (int, float)
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and len(value) == (len(value) if count is None else count)
        and all(isinstance(n, kinds) and not isinstance(n, bool) and abs(n) < math.inf for n in value)
    )


def is_window(value: Any) -> bool:
    """Whether an option is top, bottom, left and right in whole pixels, with something between them."""
    return are_numbers(value, 4, whole=True) and 0 <= value[0] < value[1] and 0 <= value[2] < value[3]


def is_name(value: Any) -> bool:
    """Whether a dataset can be called that: printable characters without a slash, and more than dots and blanks."""
    return isinstance(value, str) and value.isprintable() and "/" not in value and bool(value.strip(". "))
