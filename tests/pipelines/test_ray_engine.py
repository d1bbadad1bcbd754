"""Workers that die, hang or fail, on one Ray that all tests here share."""

import pytest

from pipelines import ray_engine
from pipelines.ray_session import ray_session
from pipelines.sharded import run_sharded
from pipelines.shards import Settings
from tests.support.processors import ROWS, Square
from tr2m_plugin.datasets.arrays import find_arrays, read_array
from tr2m_plugin.datasets.parquet import columns_of, read_table
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import ErrorRow


@pytest.fixture(scope="module")
def local_ray(repository, tmp_path_factory):
    """Ray of our own, although the home folder cannot be written and temporary folders have long names."""
    long = tmp_path_factory.mktemp("long") / ("x" * 100)
    long.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(repository))
        patch.setenv("HOME", "/dev/null")
        patch.setenv("RAY_TMPDIR", str(long))
        patch.delenv("RAY_ADDRESS", raising=False)
        for _ in range(3):  # Ray gives its agents 15 s, which a busy machine may not
            with ray_session("square") as there:
                if there:
                    yield
                    return
        pytest.skip("Ray does not start on this machine, as busy as it is")


def run(out, processor, rows=ROWS, workers=2, **options):
    stall = options.pop("stall", 600)
    settings = Settings(4, 2, workers, device="cpu", max_error_share=0.5, stall_seconds=stall)
    run_sharded("square", rows, processor, options, "a", out, settings)
    return sorted(int(read_array(ref)[0]) for ref in find_arrays(out).values())


def errors(out):
    return {row["sample_id"]: row["reason"] for row in read_table(out / "errors.parquet", columns_of(ErrorRow))}


def test_workers_that_die_or_hang_cost_nothing_but_the_picture_that_kills(local_ray, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(ray_engine, "TRIES", 1)
    options = {"deadly": [2], "slow": [5], "folder": str(tmp_path), "stall": 3}
    assert run(tmp_path / "out", Square, **options) == [i**2 for i in range(8) if i != 2]
    (reason,) = errors(tmp_path / "out").items()
    assert reason[0] == "002"
    assert reason[1].startswith("1 workers were lost on it (The actor died")
    told = capfd.readouterr().err
    assert told.count("square: a worker is lost: The actor died") == 2
    assert told.count("square: a worker is lost: it finished nothing in 3 s") == 1


def test_a_constructor_fails_once_with_its_own_words(local_ray, tmp_path):
    with pytest.raises(InputError, match=r"^model\.bin is no model$"):
        run(tmp_path / "out", Square, broken="model")


def test_workers_lost_one_after_another_end_the_run_in_a_line(local_ray, tmp_path, monkeypatch):
    monkeypatch.setattr(ray_engine, "LOSSES", 2)
    with pytest.raises(InputError, match=r"^2 workers were lost one after another; what is done is kept.*died[^\n]*$"):
        run(tmp_path / "out", Square, broken="machine")


def test_a_worker_that_no_machine_can_hold(local_ray, tmp_path):
    settings = Settings(4, 2, device="cpu", cpus_per_worker=1000)
    with pytest.raises(InputError, match=r"no machine has the 1000 processors and 0 GPUs .* lower cpus_per_worker"):
        run_sharded("square", ROWS, Square, {}, "a", tmp_path / "out", settings)
