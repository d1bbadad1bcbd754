import numpy as np
import pytest

from tr2m_plugin.errors import InputError
from tr2m_plugin.inference.model_folder import load_spec
from tr2m_plugin.units import SURGICAL, check_unit, convert, find_unit

FIRST = ["cecum", "colon", "endoscop", "medical", "surgical"]
"""The words of model folders that were written before there were stars."""


def test_few_of_290_sentences_are_misjudged(data):
    lines = (data / "unit_sentences.txt").read_text(encoding="utf-8").splitlines()
    sentences = [line.split("\t") for line in lines]
    assert len(sentences) == 290
    assert {unit for unit, _ in sentences} == {"m", "mm"}
    wrong = [text for unit, text in sentences if find_unit(text, {"mm": SURGICAL})[0] != unit]
    assert len(wrong) <= 10, wrong
    wrong = [text for unit, text in sentences[-30:] if find_unit(text, {"mm": SURGICAL})[0] != unit]
    assert len(wrong) <= 3, wrong


@pytest.mark.parametrize("words", [FIRST, SURGICAL])
def test_words_inside_words_and_rooms_are_metres(words):
    for text in (
        "A street with a colonnade.",
        "A colonial living room with a sofa.",
        "A semicolon, painted.",
        "A medical office.",
        "A medical drone.",
        "An endoscope on a table.",
        "Endoscopes, new.",
    ):
        assert find_unit(text, {"mm": words})[0] == "m", text
    for text in ("An Endoscopic view.", "A view of the Colon.", "A medical scene.", "The image of an endoscope."):
        assert find_unit(text, {"mm": words})[0] == "mm", text


def test_the_sentences_of_training_are_in_millimetres():
    from pipelines.mini_world.captions import colon_sentences
    from tr2m_plugin.description.templates import SEGMENTS, SIMCOL, colon_sentence

    texts = [SIMCOL, *colon_sentences("phantom colon", ""), *colon_sentences("sigmoid colon", "two")]
    texts += [colon_sentence(segment, "one") for segment in SEGMENTS.values()]
    assert {find_unit(text, {"mm": words})[0] for text in texts for words in (FIRST, SURGICAL)} == {"mm"}


def test_why_is_said():
    assert find_unit("A view of the colon.", {"mm": ["colon"]}) == ("mm", "the description says 'colon'")
    assert find_unit("The colon on a table.", {"mm": ["colon"]})[1].endswith(": 'colon' stands with 'on a table'")
    assert find_unit("A view of the colon.", {}) == ("m", "the description speaks of no scene in another unit")
    assert load_spec("tr2m_mini").unit_of("A colonoscopy frame.") == "mm"


def test_numbers_in_another_unit():
    depth = np.float32([1.5, 2])
    assert convert(depth, "m", "mm").tolist() == [1500, 2000]
    assert convert(depth, "mm", "m").tolist() == pytest.approx([0.0015, 0.002])
    assert convert(depth, None, "mm") is depth
    assert convert(depth, "m", "mm").dtype == np.float32
    with pytest.raises(InputError, match="a unit of depth is m or mm, not 'km'"):
        check_unit("km")
