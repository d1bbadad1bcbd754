import json

import pyarrow as pa
import pyarrow.parquet
import pytest

from tr2m_plugin.errors import InputError
from tr2m_plugin.inference.model_folder import load_spec, save_model
from tr2m_plugin.replacing import check_file, check_folder, has_columns, read_marked


def test_only_ones_own_file_is_replaced(tmp_path):
    path = tmp_path / "a"
    check_file(path, lambda _: False, "ours")
    path.touch()
    check_file(path, lambda _: True, "ours")
    with pytest.raises(InputError, match=r"a is there already and is not ours: choose another --out"):
        check_file(path, lambda _: False, "ours")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "folder").mkdir()
    for name in ("link", "folder"):
        with pytest.raises(InputError, match="is there already"):
            check_file(tmp_path / name, lambda _: True, "ours")
    with pytest.raises(OSError, match="too long"):
        check_file(tmp_path / ("n" * 300), lambda _: True, "ours")


def test_a_folder_is_new_empty_or_ones_own(tmp_path):
    check_folder(tmp_path / "new", lambda _: False, "ours")
    check_folder(tmp_path, lambda _: False, "ours")
    (tmp_path / "a").touch()
    check_folder(tmp_path, lambda _: True, "ours")
    for path in (tmp_path, tmp_path / "a"):
        with pytest.raises(InputError, match="holds other things and is not ours"):
            check_folder(path, lambda _: False, "ours")


def test_marks(tmp_path):
    path = tmp_path / "a.json"
    assert read_marked(path, format="x") is None
    for content in (
        "[" * 100_000,
        "[1]",
        '{"format": "y"}',
        "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
    ):
        path.write_text(content, encoding="latin-1")
        assert read_marked(path, format="x") is None
    path.write_text(json.dumps({"format": "x", "n": 1}))
    assert read_marked(path, format="x") == {"format": "x", "n": 1}
    pa.parquet.write_table(pa.table({"text": ["a"], "source": ["b"]}), tmp_path / "t")
    assert has_columns(tmp_path / "t", ["text"])
    assert not has_columns(tmp_path / "t", ["text", "other"])
    assert not has_columns(path, ["text"])


def test_a_model_replaces_a_model_and_nothing_else(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="holds other things and is not a model folder: choose another folder"):
        save_model(tmp_path, load_spec("tr2m_mini"), {})
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
