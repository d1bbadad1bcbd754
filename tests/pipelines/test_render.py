import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml

from pipelines import render
from pipelines.params import Stage
from pipelines.render import plan
from tr2m_plugin.datasets.arrays import read_depth, read_image
from tr2m_plugin.datasets.parquet import columns_of, read_rows, read_table
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import IndexRow, ObjectRow, SceneRow


def test_the_tables_agree_with_the_shards(world):
    rows = read_rows(world / "world" / "index.parquet", IndexRow)
    assert len(rows) == 33
    for row in rows[::5]:
        image, depth = (f"{world / 'world'}/{getattr(row, name)}" for name in ("image", "depth"))
        assert read_image(image).shape == (112, 140, 3)
        known = read_depth(depth, row.depth_scale)
        known = known[known > 0]
        assert row.depth_min < np.median(known) < row.depth_max
    keys = {(r.dataset, r.sample_id) for r in rows}
    assert {
        (r["dataset"], r["sample_id"]) for r in read_table(world / "world" / "scenes.parquet", columns_of(SceneRow))
    } == keys
    objects = read_table(world / "world" / "objects.parquet", columns_of(ObjectRow))
    assert all(o["label"] and 0 < o["area"] <= 1 for o in objects)


def test_a_dataset_does_not_depend_on_the_others_nor_on_the_sharding(world, tmp_path):
    params = {"shard_size": 3, "workers": 1, "datasets": {"rooms": {"test": 4}}}
    render.stage(Stage("test", params, tmp_path))
    (row, *_) = read_rows(tmp_path / "world" / "index.parquet", IndexRow)
    here = read_image(f"{tmp_path / 'world'}/{row.image}")
    there = [r for r in read_rows(world / "world" / "index.parquet", IndexRow) if r.sample_id == row.sample_id]
    np.testing.assert_array_equal(here, read_image(f"{world / 'world'}/{there[0].image}"))


def test_nothing_to_render_leaves_empty_tables(tmp_path):
    render.stage(Stage("test", {"datasets": {}}, tmp_path))
    assert read_rows(tmp_path / "world" / "index.parquet", IndexRow) == []


def test_unknown_datasets_and_trained_zero_shot_are_refused():
    with pytest.raises(InputError, match="has no 'moon'; it has rooms"):
        plan({"moon": {"test": 1}}, 4)
    with pytest.raises(InputError, match="warehouse is a zero-shot dataset"):
        plan({"warehouse": {"train": 1}}, 4)
    assert [len(c.numbers) for c in plan({"rooms": {"test": 10}}, 4)] == [4, 4, 2]


@pytest.mark.parametrize(("stop", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_stopped_it_leaves_no_process_behind(tmp_path, repository, stop, status):
    many = {"render": {"shard_size": 4, "workers": 2, "datasets": {"rooms": {"train": 100_000}}}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"profile": "many", "profiles": {"many": many}}))
    job = subprocess.Popen(
        [sys.executable, "-m", "pipelines.render"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(repository)},
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # what runs in the background ignores it
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: list((tmp_path / "work" / "many" / "world").glob("*.safetensors")))
        (os.killpg if stop == signal.SIGINT else os.kill)(job.pid, stop)
        told = job.communicate(timeout=240)[1]
        assert job.returncode == status
        assert "Traceback" not in told
        assert told.endswith("render: interrupted\n") == (status == 130)
        wait_until(lambda: not group_lives(job.pid))
    finally:
        if group_lives(job.pid):
            os.killpg(job.pid, signal.SIGKILL)


def group_lives(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "nothing came in 60 s"
        time.sleep(0.05)
