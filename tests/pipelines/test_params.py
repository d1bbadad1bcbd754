import sys
from pathlib import Path

import pytest
import yaml

from pipelines.params import Stage, digest, digest_files, load_stage, run_stage
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
    with pytest.raises(InputError, match=r"has no section render\.b"):
        load_stage("mini", "render", path, "b")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist: run the pipeline from the repository's root"),
        ("a: [", "is no YAML file with a section `profiles`"),
        ("a: 1", "is no YAML file with a section `profiles`"),
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


def test_every_profile_has_every_stage(repository):
    profiles = yaml.safe_load((repository / "params.yaml").read_text())["profiles"]
    stages = yaml.safe_load((repository / "dvc.yaml").read_text())["stages"]
    assert tuple(stages) == STAGES
    for sections in profiles.values():
        assert tuple(sections) == STAGES
        for name in ("describe", "list_objects"):
            assert list(sections[name]) == stages[name]["foreach"]


def test_expected_errors_are_one_line_and_status_2(monkeypatch, capsys, repository):
    def fail(run):
        raise InputError("this is wrong")

    monkeypatch.chdir(repository)
    monkeypatch.setattr(sys, "argv", ["render"])
    with pytest.raises(SystemExit) as caught:
        run_stage("render", None, fail)
    assert caught.value.code == 2
    assert capsys.readouterr().err == "render: this is wrong\n"


def test_digests(tmp_path):
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1})
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").write_text("x")
    assert digest_files([tmp_path / "a"]) == digest_files([tmp_path / "b"])
