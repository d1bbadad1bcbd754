import cv2
import numpy as np
import pytest

from tr2m_plugin.benchmark.datasets import open_datasets
from tr2m_plugin.benchmark.sentences import choose_texts, find_texts, wrong_texts
from tr2m_plugin.errors import InputError

ENTRY = {"type": "RGBDFolder", "image": "*_rgb.png", "depth": "*_depth.png", "depth_scale": 0.001, "unit": "m"}


@pytest.fixture
def lab(tmp_path):
    """A folder of one's own with three pictures."""
    for name in ("desk", "lamp", "sub/shelf"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(f"{tmp_path / name}_rgb.png", np.zeros((6, 8, 3), np.uint8))
        cv2.imwrite(f"{tmp_path / name}_depth.png", np.full((6, 8), 1000, np.uint16))
    return tmp_path


def texts(lab, **options):
    datasets = open_datasets({"lab": {**ENTRY, "root": str(lab), "name": "lab", "depth_range": [0.3, 10]}})
    return find_texts(datasets, **options)


def test_sentences_beside_the_pictures_of_a_folder_of_ones_own(lab):
    (lab / "desk_rgb.txt").write_bytes(b"\xef\xbb\xbfA desk.\nmore\n")
    (lab / "sub" / "shelf.txt").write_text("A shelf.")
    with pytest.raises(InputError, match="1 of 3 pictures have no description, such as lab/lamp"):
        texts(lab)
    assert texts(lab, text="A room.") == {"lab/desk": "A desk.", "lab/lamp": "A room.", "lab/sub/shelf": "A shelf."}


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
    datasets = open_datasets({"lab": {**ENTRY, "root": str(lab), "name": "lab", "depth_range": [0.3, 10]}})
    right = dict.fromkeys(("lab/desk", "lab/lamp", "lab/sub/shelf"), "A room.")
    assert set(choose_texts(datasets, right)["wrong_domain"].values()) == {None}
    assert set(choose_texts(datasets, right, wrong_text="A colon.")["wrong_domain"].values()) == {"A colon."}
