from collections import Counter

import pytest

from tr2m_plugin.description.object_list import count_phrase, join_phrases, object_sentences
from tr2m_plugin.description.templates import colon_sentence


@pytest.mark.parametrize(
    ("label", "count", "expected"),
    [
        ("chair", 1, "a chair"),
        ("oven", 1, "an oven"),
        ("traffic light", 2, "two traffic lights"),
        ("person", 3, "three people"),
        ("shelf", 2, "two shelves"),
        ("stairs", 2, "two stairs"),
        ("bench", 21, "twenty-one benches"),
    ],
)
def test_count_phrase(label, count, expected):
    assert count_phrase(label, count) == expected


def test_join_phrases():
    assert join_phrases(["a"]) == "a"
    assert join_phrases(["a", "b"]) == "a and b"
    assert join_phrases(["a", "b", "c"]) == "a, b, and c"


def test_sentences_name_every_object_in_shuffled_orders():
    labels = ["wall", "chair", "table", "chair", "lamp", "plant"]
    sentences = object_sentences(labels, n=5, seed=3)
    assert len(sentences) == 5
    assert len(set(sentences)) > 1
    for text in sentences:
        assert text.startswith("An image with ")
        assert text.endswith(".")
        words = Counter(text.rstrip(".").replace(",", "").split())
        assert all(words[w] == 1 for w in ("wall", "chairs", "table", "lamp", "plant", "two"))
    assert sentences == object_sentences(labels, n=5, seed=3)


def test_no_objects_and_one_object():
    assert object_sentences([], n=2) == ["An image.", "An image."]
    assert object_sentences(["wall"], n=1) == ["An image with a wall."]


def test_colon_sentence_is_the_papers():
    expected = "The image shows a medical scene of descending colon with texture type two."
    assert colon_sentence("descending colon", "two") == expected
