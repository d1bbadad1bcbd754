import pytest

from tests.support.evaluating import lab_entry
from tr2m_plugin.benchmark.datasets import open_datasets
from tr2m_plugin.benchmark.sentences import find_texts
from tr2m_plugin.errors import InputError


def texts(lab, **options):
    return find_texts(open_datasets({"lab": lab_entry(lab)}), **options)


def test_sentences_beside_the_pictures_of_a_folder_of_ones_own(lab):
    (lab / "desk_rgb.txt").write_bytes(b"\xef\xbb\xbfA desk.\nmore\n")
    (lab / "sub" / "shelf.txt").write_text("A shelf.")
    with pytest.raises(InputError, match="1 of 3 pictures have no description, such as lab/lamp"):
        texts(lab)
    assert texts(lab, text="A room.") == {"lab/desk": "A desk.", "lab/lamp": "A room.", "lab/sub/shelf": "A shelf."}
