"""The registry of describers, and what it asks of them."""

from importlib import import_module
from inspect import signature

import numpy as np
import pytest
from PIL import Image

from tr2m_plugin.cli import main
from tr2m_plugin.datasets.parquet import columns_of, read_table
from tr2m_plugin.description.describers import DESCRIBERS, Describer, Registered, check_role, make_describer, numbered
from tr2m_plugin.description.listers import ObjectLister
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import DescriptionRow


class Brightness(Describer):
    """Somebody's own."""

    def __init__(self, root: str, word: str = "bright", device: str = "auto") -> None:
        self.root, self.word, self.device = root, word, device

    def describe(self, rows, images=()):
        texts = [f"{self.word} {image.mean():.0f}" for image in images]
        return [line for row, text in zip(rows, texts, strict=True) for line in numbered(row, "brightness", [text])]


@pytest.fixture
def registered(monkeypatch):
    place = f"{Brightness.__module__}.Brightness"
    monkeypatch.setitem(DESCRIBERS, "Brightness", Registered(place, "captioner", {"dim": {"word": "dim"}}))


@pytest.mark.parametrize("kind", DESCRIBERS)
def test_every_place_holds_a_describer_of_its_role(kind):
    place, role, names, aside = DESCRIBERS[kind]
    module, _, name = place.rpartition(".")
    found = getattr(import_module(module), name)
    assert issubclass(found, Describer)
    assert issubclass(found, ObjectLister) == (role == "lister")
    assert not (role == "text" and names), "the command gives pictures alone"
    assert set(aside) <= set(signature(found).parameters)


def test_what_is_registered_is_known_to_the_command(registered, tmp_path):
    Image.fromarray(np.full((4, 5, 3), 7, np.uint8)).save(tmp_path / "a.png")
    out = tmp_path / "table.parquet"
    assert main(["describe", str(tmp_path / "a.png"), "-o", str(out), "--describer", "dim"]) == 0
    (row,) = read_table(out, columns_of(DescriptionRow))
    assert {k: v for k, v in row.items() if v is not None} == {
        "dataset": "pictures",
        "sample_id": "a",
        "source": "brightness",
        "variant": 0,
        "text": "dim 7",
    }


def test_device_and_root_go_to_those_that_name_them(registered):
    made = make_describer("Brightness", {"word": "dark"}, device="cpu", root="here")
    assert (made.word, made.device, made.root) == ("dark", "cpu", "here")
    assert make_describer("Sentence", {"text": " A room. "}, device="cpu", root="here").text == "A room."


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("Brightness", {"root": "/"}, "Brightness has no option 'root'; Brightness takes word"),
        ("Brightness", {"device": "cpu"}, "Brightness has no option 'device'"),
        ("Brightness", {"word": 3}, "Brightness.word must be text, not 3"),
        ("Sentence", {}, "Sentence lacks text"),
        ("RSA", {"folder": None}, "RSA has no `folder`"),
    ],
)
def test_wrong_options_are_named(registered, kind, options, message):
    with pytest.raises(InputError, match=message):
        make_describer(kind, options)


def test_types_are_those_of_a_role(registered):
    check_role("Brightness", "captioner", "describe.item")
    for kind in ("MaskDino", None, {"a": 1}):
        with pytest.raises(
            InputError,
            match=r"describe.item: type must be one of Brightness, Llava, OpenAICaptioner, ",
        ):
            check_role(kind, "captioner", "describe.item")
