from dataclasses import replace

import pytest

from tr2m_plugin.description.templates import ColonTemplate, colon_fallback, sequence_sentence
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import IndexRow


@pytest.mark.parametrize(
    ("sequence", "segment", "texture"),
    [
        ("cecum_t1_a", "cecum", "one"),
        ("desc_t4_a_p2", "descending colon", "four"),
        ("c3vd/sigmoid_t3_a/0012_color", "sigmoid colon", "three"),
        ("trans_t2_b/rgb/0000", "transcending colon", "two"),
    ],
)
def test_sentences_of_sequences(sequence, segment, texture):
    expected = f"The image shows a medical scene of {segment} with texture type {texture}."
    assert sequence_sentence(sequence) == expected


@pytest.mark.parametrize("sequence", ["cecum", "rectum_t1_a", "cecum_t5_a", "mycecum_t1_a", ""])
def test_what_is_no_sequence_is_named(sequence):
    with pytest.raises(InputError, match="names no sequence of C3VD"):
        sequence_sentence(sequence)


def frame(dataset):
    return IndexRow(dataset=dataset, sample_id="cecum_t2_b/0001", split="test", image="a.png")


def test_rows():
    (row,) = ColonTemplate().describe([frame("mine")])
    assert (row.dataset, row.sample_id) == ("mine", "cecum_t2_b/0001")
    assert (row.source, row.variant, row.model) == ("template", 0, "ColonTemplate")
    rows = ColonTemplate("simcol").describe([replace(frame("simcol"), sample_id=name) for name in "ab"])
    assert [row.sample_id for row in rows] == ["a", "b"]
    assert {row.text for row in rows} == {"The image shows a medical scene of a cecum with texture type one."}
    with pytest.raises(InputError, match="c3vd and simcol"):
        ColonTemplate("kitti")


@pytest.mark.parametrize(
    ("dataset", "texts"),
    [
        ("c3vd", ["The image shows a medical scene of cecum with texture type two."]),
        ("simcol", ["The image shows a medical scene of a cecum with texture type one."]),
        ("nyu", []),
    ],
)
def test_frames_of_colonoscopy_that_nobody_described(dataset, texts):
    assert [line.text for line in colon_fallback(frame(dataset))] == texts
