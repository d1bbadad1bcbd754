import argparse

import pytest

from tr2m_plugin.cli.options import count, factor, number, parse_options
from tr2m_plugin.errors import InputError


def test_values_are_yaml_and_what_stands_after_the_first_sign():
    assert parse_options(["a=1", "rate=1e-3", "sample=true", "rule=x=y", "prompts=[a, b]", "none=", "id=0001"]) == {
        "a": 1,
        "rate": 0.001,
        "sample": True,
        "rule": "x=y",
        "prompts": ["a", "b"],
        "none": None,
        "id": "0001",
    }


@pytest.mark.parametrize(
    ("given", "message"), [("model", "options are NAME=VALUE, not 'model'"), ("a=[", "a is not YAML")]
)
def test_what_is_no_option_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        parse_options([given])


@pytest.mark.parametrize(
    ("kind", "text"), [(count, "0"), (count, "1.5"), (number, "-1"), (factor, "0"), (factor, "nan"), (factor, "x")]
)
def test_numbers_are_checked(kind, text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not a"):
        kind(text)


def test_numbers_are_read():
    assert (count("3"), number("0"), factor("1e-3")) == (3, 0, 0.001)
