"""What a network wrote stays no longer than the parameters name it."""

import pytest

from pipelines import describe, list_objects
from pipelines.params import Stage
from tr2m_plugin.datasets.parquet import columns_of, read_table, write_table
from tr2m_plugin.rows import DescriptionRow, ListedRow


@pytest.mark.parametrize(
    ("module", "folder", "columns"),
    [(describe, "described", columns_of(DescriptionRow)), (list_objects, "objects", columns_of(ListedRow))],
)
def test_an_item_without_a_network_keeps_none_of_its_rows(tmp_path, module, folder, columns):
    out = tmp_path / folder / "item"
    out.mkdir(parents=True)
    write_table(out / "00000-0123456789.parquet", columns, [{"dataset": "d", "sample_id": "0", "source": "old"}])
    (out / "notes.txt").write_text("mine")
    module.stage(Stage("test", {}, tmp_path, "item"))
    assert [row for table in out.glob("*.parquet") for row in read_table(table, columns)] == []
    assert (out / "notes.txt").is_file()
