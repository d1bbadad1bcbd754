"""A job on a cluster of three nodes, one of which is killed and one removed while each works."""

import shutil
import tempfile
import threading
from contextlib import suppress

import pytest

from pipelines.sharded import run_sharded
from pipelines.shards import Settings
from tests.support.processors import ROWS, Gate, wait_until
from tr2m_plugin.datasets.arrays import find_arrays, read_array
from tr2m_plugin.datasets.parquet import columns_of, read_table
from tr2m_plugin.rows import ErrorRow


@pytest.fixture
def cluster(monkeypatch, repository):
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    monkeypatch.setenv("RAY_TMPDIR", folder)
    monkeypatch.setenv("PYTHONPATH", str(repository))
    made = Cluster()
    yield made
    made.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


def add_node(cluster):
    for _ in range(3):  # Ray gives its agents 15 s, which a busy machine may not
        with suppress(Exception):
            return cluster.add_node(num_cpus=1, include_dashboard=False)
    pytest.skip("Ray does not start on this machine, as busy as it is")


def test_a_job_outlives_its_nodes(cluster, tmp_path, monkeypatch, capfd):
    head, killed, removed = (add_node(cluster) for _ in range(3))
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    seen = tmp_path / "seen"
    seen.mkdir()

    def lose():
        wait_until(lambda: {path.name for path in seen.iterdir()} == {n.node_id for n in (head, killed, removed)})
        cluster.remove_node(killed, allow_graceful=False)
        cluster.remove_node(removed)
        (seen / "go").touch()

    thread = threading.Thread(target=lose)
    thread.start()
    settings = Settings(shard_size=1, device="cpu")
    run_sharded("gate", ROWS, Gate, {"folder": str(seen)}, "a", tmp_path / "out", settings)
    thread.join()
    found = {name: int(read_array(ref)[0]) for name, ref in find_arrays(tmp_path / "out").items()}
    assert found == {f"d/{i:03d}": i**2 for i in range(8)}
    assert read_table(tmp_path / "out" / "errors.parquet", columns_of(ErrorRow)) == []
    assert "gate: a worker is lost: " in capfd.readouterr().err
