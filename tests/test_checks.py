import math

import pytest
import yaml

from tr2m_plugin.checks import is_name, parse_yaml


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
    (found,) = parse_yaml(f"[{text}]")
    assert (found, type(found)) == (value, type(value))


def test_infinity_and_what_is_more_than_values():
    low, no = parse_yaml("[-.inf, .nan]")
    assert low == -math.inf
    assert math.isnan(no)
    with pytest.raises(yaml.YAMLError):
        parse_yaml("!!python/object/apply:os.getcwd []")


def test_the_repositorys_parameters_are_read_as_before(repository):
    text = (repository / "params.yaml").read_text()
    assert parse_yaml(text) == yaml.safe_load(text)


def test_names_of_datasets():
    assert all(map(is_name, ("mine", "my rooms", "Küche 2", "a.b", "…")))
    assert not any(map(is_name, ("", " ", "..", "a/b", "a\nb", "a\u2028b", "a\x00", "\udcff", None, 1)))
