import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from filelock import FileLock

from pipelines.sharded import run_sharded
from pipelines.shards import Settings, plan_shards, process_shard, settings_of, shard_errors
from tr2m_plugin.datasets.arrays import find_arrays, read_array
from tr2m_plugin.datasets.parquet import columns_of, read_table
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import ErrorRow

ROWS = [{"dataset": "d", "sample_id": f"{i:03d}", "value": i} for i in range(20)]


class Square:
    """Squares a row's value; fails on what it is told to."""

    def __init__(self, unreadable=(), broken=(), log=None, wait=0.0, device="cpu"):
        self.unreadable, self.broken, self.log, self.wait = set(unreadable), set(broken), log, wait

    def load(self, row):
        if row["value"] in self.unreadable:
            raise InputError(f"{row['value']} is no picture")
        return row["value"]

    def compute(self, items):
        time.sleep(self.wait)
        if self.broken & set(items):
            raise RuntimeError("the network failed")
        if self.log:
            with open(self.log, "a") as file:
                file.writelines(f"{item}\n" for item in items)
        return [np.array([item**2]) for item in items]


def run(folder, rows=ROWS, fingerprint="a", workers=0, errors=0.5, **options):
    settings = Settings(shard_size=6, batch_size=4, workers=workers, device="cpu", max_error_share=errors)
    run_sharded("square", rows, Square, options, fingerprint, folder, settings)
    return {name: int(read_array(ref)[0]) for name, ref in find_arrays(folder).items()}


def done(log):
    return sorted(map(int, log.read_text().split())) if log.is_file() else []


def test_every_row_is_computed_once_and_never_again(tmp_path):
    log = tmp_path / "log"
    found = run(tmp_path / "out", log=str(log))
    assert found == {f"d/{i:03d}": i**2 for i in range(20)}
    assert done(log) == list(range(20))
    run(tmp_path / "out", log=str(log))
    assert done(log) == list(range(20))


def test_only_what_is_missing_is_done(tmp_path):
    log = tmp_path / "log"
    run(tmp_path / "out")
    second = sorted((tmp_path / "out").glob("00001-*"))[0]
    second.unlink()
    run(tmp_path / "out", log=str(log))
    assert done(log) == list(range(6, 12))


def test_other_settings_and_rows_make_other_shards_and_old_ones_go(tmp_path):
    log = tmp_path / "log"
    run(tmp_path / "out")
    run(tmp_path / "out", fingerprint="b", log=str(log))
    assert done(log) == list(range(20))
    log.unlink()
    changed = [*ROWS[:-1], {**ROWS[-1], "value": 7}]
    assert run(tmp_path / "out", rows=changed, fingerprint="b", log=str(log))["d/019"] == 49
    assert done(log) == [7, 18]
    assert len(list((tmp_path / "out").glob("*.safetensors"))) == 4


def test_bad_rows_become_errors_and_cost_nothing_else(tmp_path):
    found = run(tmp_path / "out", unreadable=[3], broken=[9])
    assert sorted(found.values()) == [i**2 for i in range(20) if i not in (3, 9)]
    errors = {
        row["sample_id"]: row["reason"] for row in read_table(tmp_path / "out" / "errors.parquet", columns_of(ErrorRow))
    }
    assert errors == {"003": "3 is no picture", "009": "the network failed"}


def test_too_many_errors_fail_the_run_but_keep_the_rest(tmp_path):
    with pytest.raises(InputError, match=r"5 of 20 rows failed; .*errors.parquet says why"):
        run(tmp_path / "out", unreadable=range(5), errors=0.1)
    assert len(find_arrays(tmp_path / "out")) == 15


def test_half_written_files_are_swept(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".partial-elsewhere-1-1.safetensors").write_text("half")
    run(tmp_path / "out")
    assert not list((tmp_path / "out").glob(".*"))


def test_shards_are_named_by_everything_their_content_depends_on():
    names = [shard.name for shard in plan_shards(ROWS, 6, "a")]
    assert [name[:5] for name in names] == ["00000", "00001", "00002", "00003"]
    assert names == [shard.name for shard in plan_shards(ROWS, 6, "a")]
    assert not set(names) & {shard.name for shard in plan_shards(ROWS, 6, "b")}


def test_a_shard_tells_its_own_errors(tmp_path):
    (shard,) = plan_shards(ROWS[:3], 6, "a")
    assert list(process_shard(Square(unreadable=[1]), shard, tmp_path, 2)) == [2, 1]
    assert shard_errors(tmp_path / shard.name)[0].sample_id == "001"


SCRIPT = """
import sys
from pathlib import Path
sys.path[:0] = [{repository!r}, {here!r}]
from test_sharded import ROWS, Square
from pipelines.sharded import run_sharded
from pipelines.shards import Settings
run_sharded("square", ROWS, Square, {{"wait": 0.5}}, "a", Path(sys.argv[1]), Settings(2, 2, 0, device="cpu"))
"""


def test_killed_and_repeated_it_goes_on(tmp_path, repository):
    out, log = tmp_path / "out", tmp_path / "log"
    script = tmp_path / "job.py"
    script.write_text(SCRIPT.format(repository=str(repository), here=str(repository / "tests" / "pipelines")))
    job = subprocess.Popen([sys.executable, str(script), str(out)], start_new_session=True)
    deadline = time.monotonic() + 240
    while len(list(out.glob("*.safetensors"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(job.pid, signal.SIGKILL)
    job.wait()
    finished = list(out.glob("*.safetensors"))
    assert 3 <= len(finished) < 10
    settings = Settings(2, 2, 0, device="cpu")
    run_sharded("square", ROWS, Square, {"log": str(log)}, "a", out, settings)
    assert len(done(log)) == 20 - 2 * len(finished)
    assert len(find_arrays(out)) == 20


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("Failed to connect"),  # Ray itself tries for half a minute before it raises this
        RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.40.0\n    Python: 3.11.7"),
    ],
)
def test_a_cluster_that_cannot_be_used_is_named(tmp_path, monkeypatch, error):
    import ray

    def refuse(**_):
        raise error

    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(InputError, match=r"^[^\n]*RAY_ADDRESS=10\.0\.0\.1:6379: is it running[^\n]*versions[^\n]*$"):
        run(tmp_path / "out", workers=2)


def test_without_ray_this_process_does_the_work(tmp_path, monkeypatch, capfd):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_GCS_SERVER_PORT", "none")
    assert len(run(tmp_path / "out", workers=2)) == 20
    told = capfd.readouterr().err
    assert "square: Ray does not start, so one process works alone (invalid literal for int()" in told
    assert "Traceback" not in told


def test_two_runs_at_once_share_the_work(tmp_path, repository):
    """Each waits for whoever writes, and the last finds nothing left to do."""
    script = tmp_path / "job.py"
    text = SCRIPT.format(repository=str(repository), here=str(repository / "tests" / "pipelines"))
    script.write_text(text.replace('{"wait": 0.5}', '{"log": sys.argv[2]}'))
    command = [sys.executable, str(script), str(tmp_path / "out"), str(tmp_path / "log")]
    with FileLock(tmp_path / ".out.lock"):
        jobs = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        for job in jobs:
            assert any("another run is writing" in line for line in job.stderr)
    for job in jobs:
        job.communicate(timeout=120)
    assert [job.returncode for job in jobs] == [0, 0]
    assert done(tmp_path / "log") == list(range(20))
    assert len(find_arrays(tmp_path / "out")) == 20


@pytest.mark.parametrize("name", ["shard_size", "batch_size", "cpus_per_worker", "stall_seconds"])
@pytest.mark.parametrize("value", [0, -1])
def test_sizes_that_would_do_nothing_or_remove_what_was_done(name, value):
    with pytest.raises(InputError, match=rf"^{name} must be above 0, not {value}$"):
        Settings(**{name: value})


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"shard_size": -1}, "job.shard_size must be a whole number, not -1"),
        ({"batch_size": 0}, "job.batch_size must be above 0, not 0"),
        ({"shard_size": 1e3}, "job.shard_size must be a whole number, not 1000.0"),
        ({"max_error_share": "0.2"}, "job.max_error_share must be a number, not '0.2'"),
        ({"batchsize": 4}, "job has no option 'batchsize'"),
    ],
)
def test_settings_of_a_section(params, message):
    with pytest.raises(InputError, match=message):
        settings_of(params, "job")
    assert settings_of({"workers": None, "stall_seconds": 1.5}, "job") == Settings(stall_seconds=1.5)
