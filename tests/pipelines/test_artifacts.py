"""`dvc artifacts get` finds the model that the profile trained, at the git tag of a version."""

import os
import shutil
import subprocess
import sys

import pytest
import yaml

STAGE = "import pathlib; pathlib.Path('{0}').mkdir(parents=True); pathlib.Path('{0}/config.json').write_text('{1}')"


@pytest.fixture
def project(tmp_path, repository):
    """A git repository with the artifacts of ours, whose training takes no time."""
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    root = tmp_path / "project"
    root.mkdir()
    git(root, "init", "-q")
    git(root, "config", "user.email", "somebody@example.org")
    git(root, "config", "user.name", "Somebody")
    (root / ".gitignore").write_text("/work/\n")
    (root / "params.yaml").write_text("profile: tiny\n")
    ours = yaml.safe_load((repository / "dvc.yaml").read_text())
    assert "work/${profile}/model" in ours["stages"]["train"]["outs"]
    command = f'"{sys.executable}" -c "{STAGE.format("work/tiny/model", "first")}"'
    train = {"cmd": command, "outs": ["work/${profile}/model"]}
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"train": train}, "artifacts": ours["artifacts"]}))
    run(root, "dvc", "init", "-q")
    run(root, "dvc", "repro", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "first")
    return root


def git(root, *arguments):
    subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True)


def run(root, *command):
    env = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run([sys.executable, "-m", *command], cwd=root, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_get_by_version_and_newest(project, tmp_path):
    git(project, "tag", "-am", "first", "tr2m@v0.1.0")
    text = (project / "dvc.yaml").read_text()
    (project / "dvc.yaml").write_text(text.replace("'first'", "'second'"))
    assert text.count("first") == 1
    run(project, "dvc", "repro", "-q")
    git(project, "commit", "-qam", "second")
    git(project, "tag", "-am", "second", "tr2m@v0.2.0")
    run(tmp_path, "dvc", "artifacts", "get", str(project), "tr2m", "-o", "newest")
    run(tmp_path, "dvc", "artifacts", "get", str(project), "tr2m", "--rev", "v0.1.0", "-o", "old")
    assert (tmp_path / "newest" / "config.json").read_text() == "second"
    assert (tmp_path / "old" / "config.json").read_text() == "first"
