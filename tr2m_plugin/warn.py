"""Warnings that are said once."""

from __future__ import annotations

import logging
from functools import lru_cache

_LOGGER = logging.getLogger("tr2m_plugin")


@lru_cache(maxsize=256)
def warn_once(message: str) -> None:
    """Logs a warning, but not again: commands that count or describe pictures first read them twice."""
    _LOGGER.warning("%s", message)
