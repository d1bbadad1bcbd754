"""YAML as data: plain values, and numbers as people mean them."""

from __future__ import annotations

import re
from typing import Any

import yaml

from tr2m_plugin.errors import InputError

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


class _WithoutAliases(_Loader):
    """A few lines of aliases of aliases are a value without end as soon as it is printed."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(problem="aliases (*name) are not taken here")
        return super().compose_node(parent, index)


def parse_yaml(text: str, name: str, aliases: bool = False) -> Any:
    """The value of a YAML text, as plain Python: 1e-3 is a number, and 0001 a word, such as a sample id.

    Args:
        text: YAML.
        name: what to call it in messages.
        aliases: whether it may refer to its own parts. Default: False.

    Raises:
        InputError: it is not YAML, or asks for more than plain values.

    Example:
        >>> parse_yaml("{rate: 1e-3, id: 0001}", "options")
        {'rate': 0.001, 'id': '0001'}
    """
    try:
        return yaml.load(text, _Loader if aliases else _WithoutAliases)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{name} is not YAML: {' '.join(str(error).split())[:300]}") from error
