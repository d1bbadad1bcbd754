import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from tr2m_plugin.datasets.parquet import TEXT_FEATURES, columns_of, read_rows, read_table, write_rows, write_table
from tr2m_plugin.errors import InputError
from tr2m_plugin.registry import DATASETS
from tr2m_plugin.rows import DescriptionRow, ErrorRow, IndexRow

STEPS = [{"type": "LoadDepthInputs", "text": "random"}, {"type": "ResizeDepthInputs"}, {"type": "PackDepthInputs"}]


def build(root, **options):
    pipeline = [{**step, "type": f"tr2m_plugin.{step['type']}"} for step in STEPS]
    return DATASETS.build({"type": "tr2m_plugin.TableDataset", "data_root": str(root), "pipeline": pipeline, **options})


@pytest.fixture
def copy(world, tmp_path):
    return shutil.copytree(world, tmp_path / "copy")


def test_rows_are_joined_by_name_whatever_their_order(copy):
    straight = build(copy, split="test", test_mode=True)
    for name, columns in (
        ("index", columns_of(IndexRow)),
        ("descriptions", columns_of(DescriptionRow)),
        ("text_features", TEXT_FEATURES),
    ):
        rows = read_table(copy / f"{name}.parquet", columns)
        write_table(copy / f"{name}.parquet", columns, rows[::-1])
    turned = build(copy, split="test", test_mode=True)
    where = {turned.get_data_info(i)["row"].key: i for i in range(len(turned))}
    assert len(straight) == len(turned) == 11
    for i in range(len(straight)):
        a = straight.get_data_info(i)
        b = turned.get_data_info(where[a["row"].key])
        assert a["relative_depth"] == b["relative_depth"]
        assert set(a["texts"]) == set(b["texts"])
        for text, vector in zip(a["texts"], a["text_features"], strict=True):
            np.testing.assert_array_equal(vector, b["text_features"][b["texts"].index(text)])


def test_a_packed_sample(world):
    item = build(world, split="train", datasets=["colons"])[0]
    sample = item["data_samples"]
    assert item["inputs"].shape == (3, 112, 140)
    assert item["inputs"].dtype == torch.uint8
    assert sample.gt_depth_map.data.shape == sample.relative_depth_map.data.shape == (1, 112, 140)
    assert sample.text_features.shape == (1, 160)
    assert (sample.dataset, sample.unit, sample.domain) == ("colons", "mm", "surgical")
    assert 1 < sample.gt_depth_map.data.median() < 200
    assert sample.text


def test_random_texts_vary_and_first_texts_do_not(world):
    data = build(world, split="train", datasets=["rooms"])
    np.random.seed(0)
    assert len({data[0]["data_samples"].text for _ in range(20)}) > 1
    fixed = build(world, split="train", datasets=["rooms"], pipeline=[{"type": "tr2m_plugin.LoadDepthInputs"}])
    assert {fixed[0]["text"] for _ in range(5)} == {fixed.get_data_info(0)["texts"][0]}


def test_pictures_that_failed_are_left_out(copy):
    write_table(
        copy / "relative_depth" / "errors.parquet",
        columns_of(ErrorRow),
        [{"dataset": "rooms", "sample_id": "test-000001", "reason": "broken"}],
    )
    data = build(copy, split="test", datasets=["rooms"])
    assert [data.get_data_info(i)["row"].sample_id for i in range(len(data))] == [f"test-00000{i}" for i in (0, 2, 3)]


@pytest.mark.parametrize(
    ("table", "columns", "message"),
    [
        ("descriptions", columns_of(DescriptionRow), r"4 of 4 pictures have no description in .*descriptions.parquet"),
        ("text_features", TEXT_FEATURES, r"text_features.parquet lacks \d+ sentences, such as"),
    ],
)
def test_what_is_missing_is_counted_and_named(copy, table, columns, message):
    write_table(copy / f"{table}.parquet", columns, [])
    with pytest.raises(InputError, match=message):
        build(copy, split="test", datasets=["rooms"])


def test_missing_relative_depth_and_empty_splits(copy):
    shutil.rmtree(copy / "relative_depth")
    with pytest.raises(InputError, match="pictures have no relative depth in"):
        build(copy, split="test")
    with pytest.raises(InputError, match="lists no picture of moon in the split 'test'"):
        build(copy, split="test", datasets=["moon"])
    (copy / "index.parquet").unlink()
    with pytest.raises(InputError, match=r"index.parquet does not exist: run the stage"):
        build(copy, split="test")


def test_models_that_take_a_picture_alone_need_the_index_alone(copy):
    for name in ("descriptions.parquet", "text_features.parquet"):
        (copy / name).unlink()
    shutil.rmtree(copy / "relative_depth")
    steps = [{"type": "LoadDepthInputs"}, {"type": "ResizeDepthInputs", "size": (96, 128)}, {"type": "PackDepthInputs"}]
    pipeline = [{**step, "type": f"tr2m_plugin.{step['type']}"} for step in steps]
    dataset = build(copy, split="train", relative_depth=None, text=False, pipeline=pipeline)
    item = dataset[0]
    assert item["inputs"].shape == (3, 96, 128)
    assert item["data_samples"].keys() == ["gt_depth_map"]
    with pytest.raises(InputError, match="relative depth"):
        build(copy, split="train", text=False)


def changed_index(root, change):
    """Writes the index of a copy with changed columns: a function gives those of a row of the split train by number."""
    rows = read_rows(root / "index.parquet", IndexRow)
    numbers = {row.key: number for number, row in enumerate(row for row in rows if row.split == "train")}
    changed = [replace(row, **change(numbers[row.key], row)) if row.key in numbers else row for row in rows]
    write_rows(root / "index.parquet", IndexRow, changed)


def truth(item):
    return item["data_samples"].gt_depth_map.data


def test_depth_outside_the_rows_range_is_no_measurement_in_training(copy):
    straight = build(copy, split="train")
    whole = [truth(straight[i]) for i in range(len(straight))]
    middle = float(whole[0][whole[0] > 0].median())
    changed_index(copy, lambda number, row: {"depth_max": middle} if number == 0 else {})
    cut = build(copy, split="train")
    assert torch.equal(truth(cut[0]), torch.where(whole[0] <= middle, whole[0], 0))
    assert 0.4 < (truth(cut[0]) > 0).sum() / (whole[0] > 0).sum() < 0.6
    # The miniature world's own ranges leave all of its depth.
    changed_index(copy, lambda number, row: {"depth_min": None, "depth_max": None})
    free = build(copy, split="train")
    assert all(torch.equal(truth(free[i]), whole[i]) for i in range(len(whole)))


def test_a_wrong_scale_is_refused_before_training(copy):
    changed_index(copy, lambda number, row: {"depth_scale": 1000.0} if row.dataset == "rooms" else {})
    with pytest.raises(InputError, match=r"rooms: no depth of 8 pictures is in the range \[0.3, 10\] m; their median"):
        build(copy, split="train")
    build(copy, split="train", datasets=["colons"])


def test_a_picture_that_cannot_be_read_gives_way_to_the_next_of_its_dataset(copy, caplog):
    bad = copy / "bad.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n cut")
    straight = build(copy, split="train")
    names = [straight.get_data_info(i)["dataset"] for i in range(len(straight))]
    last = len(names) - 1 - names[::-1].index("rooms")
    changed_index(copy, lambda number, row: {"depth": str(bad)} if number == last else {})
    dataset = build(copy, split="train")
    np.random.seed(0)
    found = dataset[last]["data_samples"]
    assert found.sample_id == straight.get_data_info(names.index("rooms"))["row"].sample_id, "the first of rooms"
    assert dataset._unreadable == {"rooms": {straight.get_data_info(last)["row"].key}}
    changed_index(copy, lambda number, row: {"depth": str(bad)} if row.dataset == "rooms" else {})
    many = build(copy, split="train")
    with pytest.raises(InputError, match=r"2 of 8 pictures of rooms cannot be read, more than the share of 0.2"):
        many[0]
    assert many[names.index("colons")]["data_samples"].dataset == "colons"


def test_in_validation_unreadable_depth_counts_as_empty_where_that_is_allowed(copy):
    rows = read_rows(copy / "index.parquet", IndexRow)
    first = next(row for row in rows if row.split == "val")
    (copy / "bad.png").write_bytes(b"cut")
    bad = replace(first, depth=str(copy / "bad.png"))
    write_rows(copy / "index.parquet", IndexRow, [bad if row == first else row for row in rows])
    with pytest.raises(InputError, match=r"bad.png"):
        build(copy, split="val", test_mode=True)[0]
    allowed = build(copy, split="val", test_mode=True, max_error_share=0.5)
    assert not truth(allowed[0]).any()
    assert truth(allowed[1]).any()
