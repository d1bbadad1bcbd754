"""Right, wrong and spoilt sentences."""

import pytest

from tests.support.evaluating import lab_entry
from tr2m_plugin.benchmark.conditions import DESCRIPTIONS, PAPERS, SWAPPED, choose_texts, spoilt_texts, wrong_texts
from tr2m_plugin.benchmark.datasets import open_datasets
from tr2m_plugin.benchmark.paper_tables import TABLES

TEXT = "The image shows a small bathroom with a white toilet, a sink, and a large mirror."


def test_wrong_descriptions_are_another_scenes_or_another_domains():
    domains, sentences = ["in", "in", "out", "in"], ["a", "b", "c", "a"]
    chosen = wrong_texts(domains, sentences, 0)
    assert chosen["domain"][0] == 2
    assert chosen["domain"][2] in (0, 1, 3)
    assert chosen["scene"] == [1, chosen["scene"][1], None, 1]
    assert chosen["scene"][1] in (0, 3)
    assert chosen == wrong_texts(domains, sentences, 0)
    many = ["in"] * 20, [str(i) for i in range(20)]
    assert wrong_texts(*many, 0) != wrong_texts(*many, 1)


def test_without_another_domain_its_stand_in_is_taken(lab):
    datasets = open_datasets({"lab": lab_entry(lab)})
    right = dict.fromkeys(("lab/desk", "lab/lamp", "lab/sub/shelf"), "A room.")
    assert set(choose_texts(datasets, right)["wrong_domain"].values()) == {None}
    assert set(choose_texts(datasets, right, wrong_text="A colon.")["wrong_domain"].values()) == {"A colon."}


def test_the_papers_kinds_are_those_of_its_table():
    assert {row["description"] for row in TABLES["10"]["rows"]} == set(PAPERS)
    assert tuple(DESCRIPTIONS)[:3] == PAPERS
    assert all(DESCRIPTIONS[kind].spoil is None for kind in PAPERS)
    assert len({found.suffix for found in DESCRIPTIONS.values()}) == len(DESCRIPTIONS)


@pytest.mark.parametrize(
    ("text", "half"),
    [
        ("A small bathroom with a sink.", "A small bathroom"),
        ("A white, narrow  bathroom\n", "A white,"),
        ("A red desk", "A red"),
        ("desk", None),
        ("desk\n", None),
    ],
)
def test_the_first_half_of_the_words(text, half):
    assert spoilt_texts({"lab/0": text}, "truncated") == {"lab/0": half}


def test_no_words():
    assert spoilt_texts({"lab/0": TEXT, "lab/1": "desk"}, "empty") == {"lab/0": "", "lab/1": ""}


def swaps(before, after):
    """Where neighbours changed places, found letter by letter; fails where anything else was done."""
    assert len(before) == len(after)
    places, at = [], 0
    while at < len(before):
        if before[at] == after[at]:
            at += 1
            continue
        assert before[at : at + 2] == after[at : at + 2][::-1]
        assert before[at : at + 2].isalpha(), "words keep their letters"
        places.append(at)
        at += 2
    return places


def test_a_stated_share_of_the_letters_is_swapped():
    texts = {f"lab/{number}": TEXT for number in range(20)}
    found = spoilt_texts(texts, "misspelt")
    letters = sum(map(str.isalpha, TEXT))
    counts = [2 * len(swaps(TEXT, text)) / letters for text in found.values()]
    assert all(abs(share - SWAPPED) <= 1 / letters for share in counts)
    assert len(set(found.values())) > 15, "every picture has a draw of its own"
    assert len({tuple(swaps(TEXT, text)) for text in found.values()}) > 15


def test_misspelling_depends_on_picture_and_seed_alone():
    alone = spoilt_texts({"lab/b": TEXT}, "misspelt")
    among = spoilt_texts({"lab/a": "A desk.", "lab/b": TEXT, "lab/c": TEXT}, "misspelt")
    assert alone["lab/b"] == among["lab/b"] != among["lab/c"]
    assert spoilt_texts({"lab/b": TEXT}, "misspelt", 1) != alone
    assert swaps("A desk.", among["lab/a"])


@pytest.mark.parametrize("text", ["I", "aa", "a b c", "1 2 3"])
def test_what_has_no_letters_to_swap_has_no_misspelt_sentence(text):
    assert spoilt_texts({"lab/0": text}, "misspelt") == {"lab/0": None}


def test_all_kinds_are_chosen(lab):
    datasets = open_datasets({"lab": lab_entry(lab)})
    right = {"lab/desk": "A desk.", "lab/lamp": "lamp", "lab/sub/shelf": TEXT}
    found = choose_texts(datasets, right, seed=3)
    assert list(found) == list(DESCRIPTIONS)
    assert found["truncated"]["lab/lamp"] is None
    assert found["misspelt"] == spoilt_texts(right, "misspelt", 3)
    assert all(set(texts) == set(right) for texts in found.values())
