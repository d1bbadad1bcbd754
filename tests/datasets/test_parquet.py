import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tr2m_plugin.datasets.parquet import (
    TEXT_FEATURES,
    check_unique,
    columns_of,
    dataset_names,
    read_rows,
    read_table,
    read_text_features,
    write_rows,
    write_table,
    write_text_features,
)
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import DescriptionRow, ErrorRow, IndexRow


def test_rows_come_back_with_nulls_for_what_was_left_out(tmp_path):
    rows = [
        IndexRow(dataset="a", sample_id="x/1", split="test", image="1.png", depth_scale=0.001, extras={"crop": "kb"}),
        IndexRow(dataset="a", sample_id="x/2", split="val", image="2.png"),
    ]
    write_rows(tmp_path / "index.parquet", IndexRow, rows)
    back = read_rows(tmp_path / "index.parquet", IndexRow)
    assert back == rows
    assert back[1].depth is None
    assert back[0].key == "a/x/1"
    assert [line["extras"] for line in read_table(tmp_path / "index.parquet", ["extras"])] == ['{"crop": "kb"}', None]
    assert [p.name for p in tmp_path.iterdir()] == ["index.parquet"]  # no partial file stays


def test_vectors_and_an_empty_table(tmp_path):
    write_table(tmp_path / "t.parquet", TEXT_FEATURES, [{"text": "a", "features": [1.0, 2.5]}])
    assert read_table(tmp_path / "t.parquet", TEXT_FEATURES)[0]["features"] == [1.0, 2.5]
    write_table(tmp_path / "e.parquet", columns_of(DescriptionRow), [])
    assert read_table(tmp_path / "e.parquet", columns_of(DescriptionRow)) == []


def test_errors_name_the_file_and_the_cause(tmp_path):
    with pytest.raises(InputError, match=r"nothing.parquet does not exist"):
        read_rows(tmp_path / "nothing.parquet", IndexRow)
    (tmp_path / "bad.parquet").write_text("not a table")
    with pytest.raises(InputError, match=r"bad.parquet is not a readable Parquet file"):
        read_rows(tmp_path / "bad.parquet", IndexRow)
    write_table(tmp_path / "other.parquet", TEXT_FEATURES, [])
    with pytest.raises(InputError, match="lacks the columns dataset, sample_id"):
        read_rows(tmp_path / "other.parquet", IndexRow)


@pytest.mark.parametrize("text", ["{", "[1]", "{'a': 1}"])
def test_extras_that_are_no_options_are_named(tmp_path, text):
    row = {"dataset": "a", "sample_id": "1", "split": "test", "image": "1.png", "extras": text}
    write_table(tmp_path / "index.parquet", columns_of(IndexRow), [row])
    with pytest.raises(InputError, match=r"index.parquet: the column extras in row 1 should be "):
        read_rows(tmp_path / "index.parquet", IndexRow)


def test_a_sample_listed_twice_is_named():
    rows = [IndexRow(dataset=name, sample_id="1", split="test", image="1.png") for name in "ab"]
    check_unique(rows, "index")
    with pytest.raises(InputError, match="b/1 twice"):
        check_unique([*rows, rows[1]], "index")


def test_text_features_are_one_array(tmp_path):
    path, features = tmp_path / "text_features.parquet", np.arange(6, dtype=np.float32).reshape(3, 2)
    write_text_features(path, ["a", "b", "c"], features)
    assert read_table(path, TEXT_FEATURES)[1] == {"text": "b", "features": [2.0, 3.0]}
    rows, found = read_text_features(path)
    assert rows == {"a": 0, "b": 1, "c": 2}
    np.testing.assert_array_equal(found, features)
    assert found.dtype == np.float32
    write_table(path, TEXT_FEATURES, [{"text": "a", "features": [1.0, 2.0]}, {"text": "b", "features": [1.0]}])
    with pytest.raises(InputError, match=r"embeddings of different lengths: run the stage embed_text again"):
        read_text_features(path)
    write_table(path, TEXT_FEATURES, [])
    assert read_text_features(path)[0] == {}


SENTENCE = {"dataset": ["a", "a"], "sample_id": ["1", "2"], "source": ["s", "s"], "text": ["one", "two"]}
BINARY = pa.array([b"one", b"\xff\xfe"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": ["one", None]}, r"the column text is empty in row 2 \(1 such rows\)"),
        ({"text": pa.nulls(2)}, r"the column text is empty in row 1 \(2 such rows\)"),
        ({"sample_id": [None, "2"]}, r"the column sample_id is empty in row 1"),
        ({"sample_id": [1, 2]}, r"the column sample_id holds int64, not string"),
        ({"text": [["one"], ["two"]]}, r"the column text holds list<.*string>, not string"),
        ({"text": BINARY}, r"the column text holds binary, not string"),
        ({"text": [1.5, 2.5]}, r"the column text holds double, not string"),
        ({"text": pa.Array.from_buffers(pa.string(), 2, BINARY.buffers())}, r"the column text is damaged: .*UTF"),
    ],
)
def test_columns_of_other_types_and_gaps_are_named(tmp_path, changes, message):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({**SENTENCE, **changes}), path)
    with pytest.raises(InputError, match=rf"t.parquet: {message}"):
        read_table(path, ("dataset", "sample_id", "source", "text"))


def test_columns_twice_and_columns_that_mean_the_same(tmp_path):
    path = tmp_path / "t.parquet"
    twice = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    pq.write_table(twice, path)
    with pytest.raises(InputError, match=r"t.parquet has the column text twice: keep one of them") as caught:
        read_table(path, ["text"])
    assert "\n" not in str(caught.value)
    large = pa.array(["one", "two"], pa.large_string())
    words = pa.array(["a", "a"]).dictionary_encode()
    pq.write_table(
        pa.table({**SENTENCE, "text": large, "dataset": words, "depth_min": [1, 2], "more": [{"x": 1}] * 2}), path
    )
    rows = read_table(path, ["text", "dataset", "depth_min"])
    assert rows[1] == {"text": "two", "dataset": "a", "depth_min": 2.0}
    assert isinstance(rows[1]["depth_min"], float)


def test_a_name_that_is_not_utf_8_is_named(tmp_path):
    with pytest.raises(InputError, match=r"a.parquet: 'caf\\udce9' is not UTF-8: rename it"):
        write_table(
            tmp_path / "a.parquet", columns_of(ErrorRow), [{"dataset": "a", "sample_id": "caf\udce9", "reason": ""}]
        )
    assert not list(tmp_path.iterdir())


def test_one_name_is_no_list_of_letters():
    assert dataset_names("kitti") == dataset_names(["kitti"]) == ["kitti"]
    assert dataset_names(None) == dataset_names([]) == []
    for wrong in (3, [3], {"kitti": 1}):
        with pytest.raises(InputError, match="datasets must be a list of names"):
            dataset_names(wrong)
