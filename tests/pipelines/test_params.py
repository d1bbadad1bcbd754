import os
import re
import resource
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from pipelines.params import Stage, digest, digest_files, load_stage, run_stage
from tr2m_plugin.datasets.arrays import write_shard
from tr2m_plugin.datasets.parquet import write_table
from tr2m_plugin.errors import InputError

STAGES = (
    "render",
    "index",
    "describe",
    "list_objects",
    "descriptions",
    "relative_depth",
    "embed_text",
    "train",
    "evaluate",
    "report",
)


def test_a_section_and_its_folder(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("profiles: {mini: {render: {a: {x: 1}}, index: null}}")
    assert load_stage("mini", "render", path) == Stage("mini", {"a": {"x": 1}}, Path("work/mini"))
    assert load_stage("mini", "index", path).params == {}
    assert load_stage("mini", "render", path, "a").item == "a"
    with pytest.raises(InputError, match=r"has no section 'render\.b'"):
        load_stage("mini", "render", path, "b")
    path.write_text("profile: small\nprofiles: {mini: {render: {}}, small: {render: {}}}")
    assert load_stage(None, "render", path).root == Path("work/small")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist: run the pipeline from the repository's root"),
        ("a: [", r"is not YAML: .*line 1, column 5"),
        ("\ufeff- 1", "has no section 'profiles'"),
        ("a: 1", "has no section 'profiles'"),
        ("profiles: [mini]", r"profiles must hold names and values, not \['mini'\]"),
        ("profiles: {mini: {render: 3}}", "render must hold names and values, not 3"),
        ("profiles: {paper: {}}", "has no profile 'mini'; it has paper"),
        ("profiles: {mini: {}}", "has no section 'render'"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, content, message):
    path = tmp_path / "params.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=message):
        load_stage("mini", "render", path)


@pytest.mark.parametrize("name", ["mini; touch X #", "$(touch X)", "../mini", "a/b", "", 3, None])
def test_a_profile_is_a_plain_name(tmp_path, name):
    """It becomes a folder, and whoever writes params.yaml does not thereby run commands."""
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump({"profile": name, "profiles": {name: {"render": {}}}}))
    with pytest.raises(InputError, match=r"must be of letters, digits, _ and -, not "):
        load_stage(None, "render", path)


def test_no_command_holds_what_params_yaml_says(repository):
    stages = yaml.safe_load((repository / "dvc.yaml").read_text())["stages"]
    for name, stage in stages.items():
        item = " ${item}" if "foreach" in stage else ""
        assert stage.get("do", stage)["cmd"] == f"python -m pipelines.{name}{item}"


def test_every_profile_has_every_stage(repository):
    profiles = yaml.safe_load((repository / "params.yaml").read_text())["profiles"]
    stages = yaml.safe_load((repository / "dvc.yaml").read_text())["stages"]
    assert tuple(stages) == STAGES
    for sections in profiles.values():
        assert tuple(sections) == STAGES
        for name in ("describe", "list_objects"):
            assert list(sections[name]) == stages[name]["foreach"]


@pytest.fixture
def started(monkeypatch, tmp_path, capsys):
    """Runs a stage as its command does; gives the exit status and what was written to standard error."""

    def start(stage):
        monkeypatch.chdir(tmp_path)
        Path("params.yaml").write_text("profile: mini\nprofiles: {mini: {render: {}}}")
        monkeypatch.setattr(sys, "argv", ["render"])
        try:
            run_stage("render", None, stage)
        except SystemExit as end:
            return end.code, capsys.readouterr().err
        return 0, capsys.readouterr().err

    return start


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (InputError("this is wrong"), 2, "render: this is wrong\n"),
        (PermissionError(13, "Permission denied", "a.png"), 2, "render: [Errno 13] Permission denied: 'a.png'\n"),
        (KeyboardInterrupt(), 130, "render: interrupted\n"),
    ],
)
def test_what_a_user_can_cause_is_one_line(started, error, status, line):
    def fail(run):
        raise error

    assert started(fail) == (status, line)


def write_arrays(path):
    write_shard(path, {"a": np.zeros(10_000)})


def write_rows(path):
    write_table(path, {"a": "string"}, ({"a": str(i)} for i in range(10_000)))


@pytest.mark.parametrize(("write", "name"), [(write_arrays, "a.safetensors"), (write_rows, "a.parquet")])
def test_a_full_disk_is_one_line_that_names_the_file(started, tmp_path, write, name):
    def fill(run):
        _, hard = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        try:
            write(tmp_path / "out" / name)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    (tmp_path / "out").mkdir()
    status, line = started(fill)
    assert status == 2
    assert re.fullmatch(rf"render: [^\n]*File too large[^\n]*/{name}'\n", line), line
    assert not list((tmp_path / "out").iterdir())


def test_what_killed_runs_left_is_swept(started):
    gone = subprocess.Popen(["true"])
    gone.wait()
    host = socket.gethostname()
    work = Path("work") / "mini"

    def leave(run):
        (work / "train").mkdir(parents=True, exist_ok=True)
        for folder in (work, work / "train"):
            (folder / f".partial-{host}-{gone.pid}-1.parquet").touch()
        (work / f".partial-{host}-{os.getpid()}-1.parquet").touch()

    assert started(leave) == (0, "")
    assert len(list(work.rglob(".partial-*"))) == 3
    assert started(lambda run: None) == (0, "")
    (alive,) = work.rglob(".partial-*")
    assert f"-{os.getpid()}-" in alive.name


def test_digests(tmp_path):
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1})
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").write_text("x")
    assert digest_files([tmp_path / "a"]) == digest_files([tmp_path / "b"])


@pytest.mark.parametrize("value", [0, -1, "32", 2.0, True, None])
def test_counts(value):
    with pytest.raises(InputError, match=f"batch_size must be a whole number above 0, not {value!r}"):
        Stage("mini", {"batch_size": value}, Path()).count("batch_size", 32)
    assert Stage("mini", {}, Path()).count("batch_size", 32) == 32
    assert Stage("mini", {"limit": None}, Path()).count("limit", None) is None


@pytest.mark.parametrize("value", ["0.2", -0.1, 1.5, float("nan"), None])
def test_shares(value):
    with pytest.raises(InputError, match="errors must be a number from 0 to 1, not"):
        Stage("mini", {"errors": value}, Path()).share("errors", 0.2)
    assert Stage("mini", {"errors": 0}, Path()).share("errors", 0.2) == 0
