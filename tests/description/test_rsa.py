"""RSA's published files in and out, and the sentences that its rule makes of its object lists."""

import re
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest

from tr2m_plugin.datasets.parquet import read_rows, write_rows
from tr2m_plugin.description.object_list import object_sentences
from tr2m_plugin.description.rsa import read_rsa, read_rsa_objects, rsa_file, write_rsa
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import DescriptionRow, IndexRow, ObjectRow

CAPTIONS = [f"A picture of number {i}, a café." for i in range(10)]
OBJECTS_OF = {
    "nyu/train/kitchen_0001/rgb_1": ["traffic light 0.25", "wall 0.125", "traffic light 4.3e-06", "oven 0.01"],
    "void/train/void_1500/data/stairs0/image/15.5": [],
    "kitti/test/2011_09_26/drive/image_02/data/0000000005": ["wall 0.5", "wall 0.25"],
}
SENTENCE = re.compile(r"(?:An image with|,(?: and)?|and) ((?:a|[a-z-]+) [a-z]+)")


def phrases(sentence):
    return Counter(SENTENCE.findall(sentence))


def publish(folder, objects=OBJECTS_OF):
    """Files as RSA published them."""
    for key, lines in objects.items():
        labels = [line.rpartition(" ")[0] for line in lines]
        for kind, content in (
            ("seg_txt_panoptic", lines),
            ("text_all", [*CAPTIONS, *object_sentences(labels, style="rsa")]),
        ):
            path = folder / kind / f"{key}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes("".join(f"{line}\n" for line in content).encode())


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.txt")}


def test_the_way_there_and_back_keeps_every_byte(tmp_path):
    publish(tmp_path / "text")
    assert write_rsa(tmp_path / "out", read_rsa(tmp_path / "text")) == 3
    assert write_rsa(tmp_path / "out", read_rsa_objects(tmp_path / "text")) == 3
    assert content(tmp_path / "out") == content(tmp_path / "text")


def test_rows_of_the_table(tmp_path):
    publish(tmp_path)
    write_rows(tmp_path / "descriptions.parquet", DescriptionRow, read_rsa(tmp_path))
    rows = read_rows(tmp_path / "descriptions.parquet", DescriptionRow)
    assert len(rows) == 45
    first = [row for row in rows if row.dataset == "nyu"]
    assert {row.sample_id for row in first} == {"kitchen_0001/rgb_1"}
    assert [row.variant for row in first] == list(range(15))
    assert [row.model for row in first] == ["llava-mistral"] * 5 + ["llava-vicuna"] * 5 + ["object list"] * 5
    assert first[7].prompt.startswith("Capture the essence")
    assert first[12].prompt is None
    assert first[0].text == "A picture of number 0, a café."


def test_object_lists(tmp_path):
    publish(tmp_path)
    rows = list(read_rsa_objects(tmp_path))
    assert [(r.label, r.area) for r in rows if r.dataset == "nyu"][2] == ("traffic light", 4.3e-06)
    assert [r.label for r in rows if r.dataset == "void"] == [None]
    write_rows(tmp_path / "objects.parquet", ObjectRow, rows)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["traffic light", "traffic light", "oven"], {"two traffics", "a oven"}),
        (["person", "person", "bus", "bus", "sports ball", "sports ball"], {"two people", "two buses", "two sport"}),
        (["knife"] * 21 + ["grass"], {"twenty-one knives", "a grass"}),
    ],
)
def test_the_published_rule_to_the_letter(labels, expected):
    for sentence in object_sentences(labels, style="rsa"):
        assert set(phrases(sentence)) == expected
    assert object_sentences(["wall", "floor"], 1, style="rsa")[0] in (
        "An image with a wall, and a floor.",
        "An image with a floor, and a wall.",
    )
    assert object_sentences(["wall", "wall"], 2, style="rsa") == ["An image with two walls."] * 2
    assert object_sentences(["dining table"], 1, style="rsa") == ["An image with a dining."]
    assert object_sentences([], 2, style="rsa") == ["An image."] * 2


def test_shuffles_follow_the_seed():
    labels = ["wall", "floor", "chair", "table", "lamp"]
    assert object_sentences(labels, 5, 1, "rsa") == object_sentences(labels, 5, 1, "rsa")
    assert object_sentences(labels, 5, 1, "rsa") != object_sentences(labels, 5, 2, "rsa")
    assert len(set(object_sentences(labels, 5, 1, "rsa"))) > 1


def test_bad_files_are_named(tmp_path):
    with pytest.raises(InputError, match=r"has no folder text_all: give RSA's folder"):
        list(read_rsa(tmp_path))
    (tmp_path / "text_all" / "nyu" / "train").mkdir(parents=True)
    with pytest.raises(InputError, match=r"holds no DATASET/SPLIT/SAMPLE\.txt"):
        list(read_rsa(tmp_path))
    path = tmp_path / "text_all" / "nyu" / "train" / "a.txt"
    path.write_text("One.\nTwo.\n")
    with pytest.raises(InputError, match=r"a\.txt has 2 lines, not 15"):
        list(read_rsa(tmp_path))
    path.write_bytes(b"\xff\n" * 15)
    with pytest.raises(InputError, match=r"a\.txt is not a UTF-8 text file"):
        list(read_rsa(tmp_path))
    lists = tmp_path / "seg_txt_panoptic" / "nyu" / "train" / "a.txt"
    lists.parent.mkdir(parents=True)
    lists.write_text("wall 0.5\nfloor\n")
    with pytest.raises(InputError, match=r"a\.txt, line 2: 'floor' is no label and area"):
        list(read_rsa_objects(tmp_path))
    with pytest.raises(InputError, match="style must be"):
        object_sentences(["wall"], style="other")


def test_memory_does_not_grow_with_the_number_of_files(tmp_path):
    peaks = []
    for count in (200, 2000):
        folder = tmp_path / str(count)
        publish(folder, {f"nyu/train/scene/rgb_{i}": ["wall 0.5"] for i in range(count)})
        tracemalloc.start()
        assert sum(1 for _ in read_rsa(folder)) == 15 * count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # Names of a folder's files are sorted, so they are held; their sentences are not.
    assert peaks[1] - peaks[0] < 2000 * 300


def test_a_folder_of_ones_own(request, tmp_path):
    """All files of a folder named by `--rsa-folder` go through and come back to the byte."""
    folder = request.config.getoption("--rsa-folder")
    if not folder:
        pytest.skip("no --rsa-folder given")
    write_rsa(tmp_path, read_rsa(folder))
    write_rsa(tmp_path, read_rsa_objects(folder))
    assert content(tmp_path) == content(Path(folder))
    lists = {}
    for row in read_rsa_objects(folder):
        lists.setdefault((row.dataset, row.split, row.sample_id), []).append(row.label)
    for row in read_rsa(folder):
        key = (row.dataset, row.split, row.sample_id)
        if row.variant >= 10 and key in lists:
            labels = [label for label in lists[key] if label]
            assert phrases(row.text) == phrases(object_sentences(labels, 1, style="rsa")[0]), key


@pytest.mark.parametrize(("split", "read"), [("train", "train"), ("val", "test"), ("test", "test")])
@pytest.mark.parametrize("below", ["", "text_all"])
def test_where_the_sentences_of_a_picture_are(tmp_path, split, read, below):
    (tmp_path / "text_all").mkdir()
    row = IndexRow(dataset="nyu", sample_id="office/rgb_2", split=split, image="a.jpg")
    assert rsa_file(tmp_path / below, row) == tmp_path / "text_all" / "nyu" / read / "office" / "rgb_2.txt"
