import os
import shutil

import numpy as np
import pytest
import torch

from pipelines import relative_depth
from pipelines.networks import weights_digest
from pipelines.params import Stage
from pipelines.relative_depth import RelativeDepthProcessor, stage
from pipelines.stamps import picture_stamp
from tr2m_plugin.datasets.arrays import find_arrays, read_array, read_image, write_shard
from tr2m_plugin.datasets.parquet import read_rows
from tr2m_plugin.datasets.table_dataset import TableDataset
from tr2m_plugin.errors import InputError
from tr2m_plugin.models import RelativeDepth
from tr2m_plugin.rows import IndexRow

from tests.conftest import RELATIVE_DEPTH  # isort: skip

MODEL = {"pretrained": "mini_depth_anything", "size": [112, 140]}


def test_the_shards_hold_what_the_network_says(world):
    arrays = find_arrays(world / "relative_depth")
    row = next(r for r in read_rows(world / "index.parquet", IndexRow) if r.dataset == "colons")
    stored = read_array(arrays[f"colons/{row.sample_id}"])
    assert len(arrays) == 33
    assert stored.dtype == np.float16
    expected = RelativeDepth(**MODEL).predict([read_image(f"{world}/{row.image}")])[0, 0].numpy()
    np.testing.assert_allclose(stored, expected, rtol=2e-3, atol=1e-3)


def test_a_second_run_does_nothing_and_another_network_everything(world, tmp_path, capsys):
    root = shutil.copytree(world, tmp_path / "copy")
    run = Stage("test", {"model": MODEL, "shard_size": 8, "batch_size": 4, "workers": 0, "device": "cpu"}, root)
    relative_depth.stage(run)
    assert "0 rows in 0 shards to do" in capsys.readouterr().out
    relative_depth.stage(Stage("test", {**run.params, "model": {**MODEL, "size": [70, 84]}}, root))
    assert "33 rows in 5 shards to do" in capsys.readouterr().out
    assert read_array(next(iter(find_arrays(root / "relative_depth").values()))).shape == (70, 84)


def test_a_dataset_of_another_size_and_a_second_network(world, tmp_path):
    root = shutil.copytree(world, tmp_path / "copy")
    more = {"small": {"pretrained": "mini_depth_anything", "size": [28, 42]}}
    params = {"model": MODEL, "sizes": {"colons": [56, 70]}, "more": more, "workers": 0, "device": "cpu"}
    relative_depth.stage(Stage("test", {**params, "batch_size": 4, "shard_size": 16}, root))
    shapes = {
        name.partition("/")[0]: read_array(ref).shape for name, ref in find_arrays(root / "relative_depth").items()
    }
    assert shapes["colons"] == (56, 70)
    assert shapes["rooms"] == (112, 140)
    second = find_arrays(root / "relative_depth" / "small")
    assert {read_array(ref).shape for name, ref in second.items() if name.startswith("rooms/")} == {(28, 42)}
    data = TableDataset(str(root), relative_depth="relative_depth/small", pipeline=[], lazy_init=False)
    assert "relative_depth/small" in data.get_data_info(0)["relative_depth"]


def test_a_changed_picture_is_noticed(tmp_path):
    row = IndexRow(dataset="d", sample_id="a", split="test", image=str(tmp_path / "a.jpg"))
    (tmp_path / "a.jpg").write_text("1")
    before = picture_stamp(row, tmp_path)
    os.utime(tmp_path / "a.jpg", (1, 1))
    assert picture_stamp(row, tmp_path) != before


def test_weights_have_a_digest_and_hub_ids_stand_for_themselves():
    assert len(weights_digest("mini_depth_anything")) == 10
    assert weights_digest("somebody/network") == "somebody/network"


def test_two_files_of_one_name_and_size_have_two_digests(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights.pth").write_text(name)
    assert len({weights_digest(str(tmp_path / name / "weights.pth")) for name in "ab"}) == 2


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"model": {"pretrained": "a", "device": "meta"}}, "relative_depth.model has no option 'device'"),
        ({"model": {"pretrained": {"type": "os.mkdir"}}}, "relative_depth.model.pretrained must be text"),
        ({"model": {}, "more": {"midas": {"size": "big"}}}, "relative_depth.more.midas.size must be a list of whole"),
    ],
)
def test_sections_build_nothing_else(tmp_path, params, message):
    with pytest.raises(InputError, match=message):
        stage(Stage("test", params, tmp_path))


def test_what_half_precision_cannot_hold_is_refused():
    processor = RelativeDepthProcessor(MODEL, ".", "cpu")
    processor.model.forward = lambda pixels, size: torch.full((len(pixels), 1, 2, 2), 1e6)
    with pytest.raises(InputError, match=r"reaches 1e\+06, which half precision cannot hold"):
        processor.compute([(np.zeros((4, 4, 3), np.uint8), None)])


def test_unknown_settings_are_refused(world):
    with pytest.raises(InputError, match="relative_depth has no option 'shards'"):
        relative_depth.stage(Stage("test", {"model": MODEL, "shards": 3}, world))


@pytest.mark.parametrize("name", ["..", "../..", "/tmp", "a/b"])
def test_a_further_network_stays_inside_the_stages_folder(tmp_path, name):
    """Elsewhere, shards that are not its own would be removed."""
    with pytest.raises(InputError, match="cannot be the name of a folder"):
        stage(Stage("test", {"model": MODEL, "more": {name: MODEL}}, tmp_path))


def test_a_network_is_given_by_options(tmp_path):
    for params in ({"model": "mini_depth_anything"}, {}, {"model": MODEL, "more": {"midas": None}}):
        with pytest.raises(InputError, match="must be the options of a network"):
            stage(Stage("test", params, tmp_path))


def test_a_shard_of_the_same_size_that_holds_another_picture(tmp_path):
    row = IndexRow(dataset="d", sample_id="0", split="test", image="a.safetensors#0/image")
    write_shard(tmp_path / "a.safetensors", {"0/image": np.zeros((2, 2, 3), np.uint8)})
    first = picture_stamp(row, tmp_path)
    write_shard(tmp_path / "a.safetensors", {"0/image": np.ones((2, 2, 3), np.uint8)})
    second = picture_stamp(row, tmp_path)
    os.utime(tmp_path / "a.safetensors", (1, 1))
    assert first != second == picture_stamp(row, tmp_path), "and made again as it was, it is the same"


def test_code_that_does_something_else_makes_the_maps_anew(world, tmp_path, monkeypatch, capsys):
    run = Stage("test", RELATIVE_DEPTH, shutil.copytree(world, tmp_path / "copy"))
    stage(run)
    assert "0 rows in 0 shards to do" in capsys.readouterr().out
    monkeypatch.setattr(relative_depth, "code_digest", lambda path: "other")
    monkeypatch.setattr(relative_depth, "run_sharded", lambda *given, **_: print(given[4]))
    stage(run)
    assert "'other'" in capsys.readouterr().out
