import numpy as np
import pytest

from pipelines.mini_world.captions import colon_sentences, scene_sentences, size_word


def test_size_words_follow_the_size():
    words = [size_word(extent, indoor=True) for extent in (1.2, 2.0, 3.0, 4.0, 6.0, 9.0, 20.0)]
    assert words == ["tiny", "very small", "small", "medium-sized", "large", "very large", "vast"]
    assert size_word(3.0, indoor=False) == "very narrow"
    assert size_word(30.0, indoor=False) == "vast"


def test_place_sentences_tell_the_place_its_size_and_what_stands_in_it():
    labels = ["wall", "table", "chair", "chair", "floor"]
    first, second = scene_sentences("kitchen", 3.0, labels, np.random.default_rng(0))
    assert first == "A small kitchen with a table and two chairs."
    assert second == "The image shows a kitchen with a table and two chairs."


@pytest.mark.parametrize("diorama", [False, True])
def test_miniatures_are_called_so(diorama):
    words = {"dolls", "miniature", "toy", "tiny", "diorama", "replica", "model"}
    for seed in range(10):
        rng = np.random.default_rng(seed)
        for text in scene_sentences("office", 4.0, ["desk"], rng, scale=1 / 12, diorama=diorama):
            assert any(word in text for word in words)


def test_an_empty_room_is_described_by_its_shell():
    first, _ = scene_sentences("office", 4.0, ["wall", "floor"], np.random.default_rng(0))
    assert first == "A medium-sized office with a wall and a floor."


def test_colon_sentences():
    assert colon_sentences("cecum", "one")[0] == "The image shows a medical scene of cecum with texture type one."
    assert len(colon_sentences("cecum", "one")) == 4
    assert colon_sentences("cecum", "one")[-1] == "This is a medical scene of a colon."
    assert colon_sentences("phantom colon", "") == ["This is a medical scene of a phantom colon."]
