import shutil

import numpy as np
import pytest
import torch

from tr2m_plugin.datasets.tables import (
    DESCRIPTIONS,
    ERRORS,
    INDEX,
    TEXT_FEATURES,
    read_table,
    sample_key,
    write_table,
)
from tr2m_plugin.errors import InputError
from tr2m_plugin.registry import DATASETS

STEPS = [{"type": "LoadDepthInputs", "text": "random"}, {"type": "ResizeDepthInputs"}, {"type": "PackDepthInputs"}]


def build(root, **options):
    pipeline = [{**step, "type": f"tr2m_plugin.{step['type']}"} for step in STEPS]
    return DATASETS.build({"type": "tr2m_plugin.TableDataset", "data_root": str(root), "pipeline": pipeline, **options})


@pytest.fixture
def copy(world, tmp_path):
    return shutil.copytree(world, tmp_path / "copy")


def test_rows_are_joined_by_name_whatever_their_order(copy):
    straight = build(copy, split="test", test_mode=True)
    for name, columns in (("index", INDEX), ("descriptions", DESCRIPTIONS), ("text_features", TEXT_FEATURES)):
        rows = read_table(copy / f"{name}.parquet", columns)
        write_table(copy / f"{name}.parquet", columns, rows[::-1])
    turned = build(copy, split="test", test_mode=True)
    where = {sample_key(turned.get_data_info(i)): i for i in range(len(turned))}
    assert len(straight) == len(turned) == 11
    for i in range(len(straight)):
        a = straight.get_data_info(i)
        b = turned.get_data_info(where[sample_key(a)])
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
        ERRORS,
        [{"dataset": "rooms", "sample_id": "test-000001", "reason": "broken"}],
    )
    data = build(copy, split="test", datasets=["rooms"])
    assert [data.get_data_info(i)["sample_id"] for i in range(len(data))] == [f"test-00000{i}" for i in (0, 2, 3)]


@pytest.mark.parametrize(
    ("table", "columns", "message"),
    [
        ("descriptions", DESCRIPTIONS, r"4 of 4 pictures have no description in .*descriptions.parquet"),
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
