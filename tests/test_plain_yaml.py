import math

import pytest
import yaml

from tr2m_plugin.errors import InputError
from tr2m_plugin.plain_yaml import parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 100000.0),
        ("+1e+3", 1000.0),
        ("1.0e-3", 0.001),
        (".5", 0.5),
        ("10", 10),
        ("-3", -3),
        ("0", 0),
        ("0x1F", 31),
        ("65_535", 65535),
        ("0001", "0001"),
        ("08", "08"),
        ("007.5", "007.5"),
        ("12:30", "12:30"),
        ("1e", "1e"),
        ("1-2", "1-2"),
        ("'1e-3'", "1e-3"),
        ("true", True),
        ("null", None),
    ],
)
def test_numbers_in_yaml_are_what_people_mean(text, value):
    (found,) = parse_yaml(f"[{text}]", "x")
    assert (found, type(found)) == (value, type(value))


def test_infinity_and_no_number():
    low, no = parse_yaml("[-.inf, .nan]", "x")
    assert low == -math.inf
    assert math.isnan(no)


def test_the_repositorys_parameters_are_read_as_before(repository):
    text = (repository / "params.yaml").read_text()
    assert parse_yaml(text, "x") == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [", "while parsing"),
        ("[" * 20_000, "recursion"),
        ("a: &a [1]\nb: *a", r"aliases \(\*name\) are not taken here"),
        ("!!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("9" * 5000, "4300 digits"),
    ],
)
def test_yaml_that_is_not_taken_is_one_line(text, reason):
    with pytest.raises(InputError, match=f"x is not YAML: .*{reason}") as caught:
        parse_yaml(text, "x")
    assert "\n" not in str(caught.value)
    assert parse_yaml("a: &a [1]\nb: *a", "x", aliases=True) == {"a": [1], "b": [1]}
