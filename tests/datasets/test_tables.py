import pytest

from tr2m_plugin.datasets.tables import (
    DESCRIPTIONS,
    INDEX,
    TEXT_FEATURES,
    check_unique,
    read_table,
    sample_key,
    write_table,
)
from tr2m_plugin.errors import InputError


def test_rows_come_back_with_nulls_for_what_was_left_out(tmp_path):
    rows = [{"dataset": "a", "sample_id": "x/1", "depth_scale": 0.001}, {"dataset": "a", "sample_id": "x/2"}]
    write_table(tmp_path / "index.parquet", INDEX, rows)
    back = read_table(tmp_path / "index.parquet", INDEX)
    assert [r["sample_id"] for r in back] == ["x/1", "x/2"]
    assert back[0]["depth_scale"] == 0.001
    assert back[1]["depth"] is None
    assert sample_key(back[0]) == "a/x/1"
    assert [p.name for p in tmp_path.iterdir()] == ["index.parquet"]  # no partial file stays


def test_vectors_and_an_empty_table(tmp_path):
    write_table(tmp_path / "t.parquet", TEXT_FEATURES, [{"text": "a", "features": [1.0, 2.5]}])
    assert read_table(tmp_path / "t.parquet", TEXT_FEATURES)[0]["features"] == [1.0, 2.5]
    write_table(tmp_path / "e.parquet", DESCRIPTIONS, [])
    assert read_table(tmp_path / "e.parquet", DESCRIPTIONS) == []


def test_errors_name_the_file_and_the_cause(tmp_path):
    with pytest.raises(InputError, match=r"nothing.parquet does not exist"):
        read_table(tmp_path / "nothing.parquet", INDEX)
    (tmp_path / "bad.parquet").write_text("not a table")
    with pytest.raises(InputError, match=r"bad.parquet is not a readable Parquet file"):
        read_table(tmp_path / "bad.parquet", INDEX)
    write_table(tmp_path / "other.parquet", TEXT_FEATURES, [])
    with pytest.raises(InputError, match="lacks the columns dataset, sample_id"):
        read_table(tmp_path / "other.parquet", INDEX)


def test_a_sample_listed_twice_is_named():
    rows = [{"dataset": "a", "sample_id": "1"}, {"dataset": "b", "sample_id": "1"}]
    check_unique(rows, "index")
    with pytest.raises(InputError, match="b/1 twice"):
        check_unique([*rows, rows[1]], "index")
