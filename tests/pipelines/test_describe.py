import shutil
from dataclasses import replace

import pytest

from pipelines import describe, descriptions
from pipelines.params import Stage
from tr2m_plugin.datasets.parquet import columns_of, read_rows, read_table, write_rows
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import DescriptionRow, IndexRow


def run(root, *describers):
    describe.stage(Stage("test", {"describers": list(describers)}, root))
    descriptions.stage(Stage("test", {}, root))
    return read_table(root / "descriptions.parquet", columns_of(DescriptionRow))


def row_of(dataset, sample_id, split):
    return IndexRow(dataset=dataset, sample_id=sample_id, split=split, domain="indoor", image=f"{sample_id}.png")


@pytest.fixture
def own(tmp_path):
    rows = [row_of("mine", name, "test") for name in ("a", "sub/b")]
    write_rows(tmp_path / "index.parquet", IndexRow, rows)
    (tmp_path / "texts" / "sub").mkdir(parents=True)
    (tmp_path / "texts" / "a.txt").write_text("A hall.\n\n  A large hall.\n")
    (tmp_path / "texts" / "sub" / "b.txt").write_text("A desk.")
    return tmp_path


def test_the_worlds_pictures(world):
    rows = read_table(world / "descriptions.parquet", columns_of(DescriptionRow))
    texts = {}
    for row in rows:
        texts.setdefault((row["dataset"], row["sample_id"]), []).append(row)
    assert len(texts) == 33
    room = texts["rooms", "test-000000"]
    assert [r["source"] for r in room] == ["scene", "scene", "objects", "objects"]
    assert room[2]["text"].startswith("An image with a")
    assert texts["colons", "test-000000"][0]["text"].startswith("The image shows a medical scene of")
    toys = " ".join(r["text"] for r in texts["miniatures", "test-000000"])
    assert any(word in toys for word in ("toy", "miniature", "tiny", "dolls"))


def test_it_is_deterministic(world, tmp_path):
    shutil.copytree(world, tmp_path / "copy")
    again = run(tmp_path / "copy", {"type": "SceneGraph", "objects": 2})
    assert again == read_table(world / "descriptions.parquet", columns_of(DescriptionRow))
    assert again != run(tmp_path / "copy", {"type": "SceneGraph", "objects": 2, "seed": 1})


def test_text_files_beside_the_pictures(own):
    rows = run(own, {"type": "TextFiles", "folder": str(own / "texts")})
    assert [(r["sample_id"], r["variant"], r["text"]) for r in rows] == [
        ("a", 0, "A hall."),
        ("a", 1, "A large hall."),
        ("sub/b", 0, "A desk."),
    ]


def test_text_files_may_lie_beside_the_pictures(own):
    (own / "texts" / "a.txt").unlink()
    rows = [replace(row, image=str(own / "a_rgb.png")) for row in read_rows(own / "index.parquet", IndexRow)]
    write_rows(own / "index.parquet", IndexRow, rows)
    (own / "a.txt").write_text(f"\ufeffA hall.\u2028It is large.\n{'A desk. ' * 1000}\n", encoding="utf-8")
    rows = run(own, {"type": "TextFiles", "folder": str(own / "texts")})
    texts = [row["text"] for row in rows if row["sample_id"] == "a"]
    assert texts == ["A hall.\u2028It is large.", ("A desk. " * 250).rstrip()]


def test_a_sentence_for_all_and_several_describers(own):
    rows = run(own, {"type": "Sentence", "text": " A room. "}, {"type": "TextFiles", "folder": str(own / "texts")})
    assert [r["text"] for r in rows if r["sample_id"] == "a"] == ["A room.", "A hall.", "A large hall."]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"a.txt does not exist: every picture needs a text file"),
        (b" \n\n", r"a.txt holds no text: write one sentence per line"),
        (b"\xff\xfe\x00", r"a.txt is not a UTF-8 text file"),
    ],
)
def test_files_without_text_are_named(own, content, message):
    path = own / "texts" / "a.txt"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        run(own, {"type": "TextFiles", "folder": str(own / "texts")})
    assert not (own / "descriptions.parquet").exists()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"type": "Poet"}, "type must be one of ColonTemplate, RSA, SceneGraph, Sentence, TextFiles, not 'Poet'"),
        ({"type": "Sentence", "text": " "}, "the sentence is empty"),
        ({"type": "Sentence", "txt": "a"}, "Sentence has no option 'txt'; Sentence takes text"),
        ({"type": "TextFiles", "folder": "nowhere"}, "nowhere is not a folder"),
        ({"type": "Sentence", "text": "a", "datasets": ["other"]}, "2 of 2 pictures have no description"),
    ],
)
def test_wrong_entries_are_refused(own, entry, message):
    with pytest.raises(InputError, match=message):
        run(own, entry)


def test_scene_graphs_are_the_worlds_only(own, world):
    (own / "world").symlink_to(world / "world")
    with pytest.raises(InputError, match="mine/a has no scene graph"):
        run(own, {"type": "SceneGraph"})


def test_published_captions_and_templates(tmp_path):
    rows = [
        row_of("nyu", "kitchen_0001/rgb_1", "train"),
        row_of("nyu", "office/rgb_2", "test"),
        row_of("c3vd", "desc_t4_a_p2/0001", "test"),
    ]
    write_rows(tmp_path / "index.parquet", IndexRow, rows)
    for row in rows[:2]:
        path = tmp_path / "text" / "text_all" / "nyu" / row.split / f"{row.sample_id}.txt"
        path.parent.mkdir(parents=True)
        path.write_text("".join(f"Line {i} of {row.sample_id}.\n" for i in range(15)))
    published = {"type": "RSA", "folder": str(tmp_path / "text"), "datasets": ["nyu"]}
    found = run(tmp_path, published, {"type": "ColonTemplate", "datasets": ["c3vd"]})
    assert len(found) == 31
    assert found[3]["text"] == "Line 3 of kitchen_0001/rgb_1."
    assert (found[3]["source"], found[3]["variant"], found[3]["model"]) == ("rsa", 3, "llava-mistral")
    assert found[3]["prompt"].startswith("Condense")
    assert found[15]["text"] == "Line 0 of office/rgb_2."
    assert found[-1]["text"] == "The image shows a medical scene of descending colon with texture type four."
    (tmp_path / "text" / "text_all" / "nyu" / "test" / "office" / "rgb_2.txt").unlink()
    with pytest.raises(InputError, match=r"office/rgb_2\.txt does not exist"):
        run(tmp_path, published)
    with pytest.raises(InputError, match="give RSA's folder `text`"):
        run(tmp_path, {**published, "folder": str(tmp_path)})
