"""What docs/descriptions.md and params.yaml show of captioners runs, with small models and a server of ours."""

import re
import shlex

import cv2
import numpy as np
import pytest
import yaml

from pipelines.shards import settings_of
from tests.support.chat_server import serving
from tests.support.tiny_captioners import save_captioner
from tr2m_plugin.cli import main
from tr2m_plugin.datasets.parquet import columns_of, read_table
from tr2m_plugin.description.captioner import TransformersCaptioner
from tr2m_plugin.description.openai_captioner import OpenAICaptioner
from tr2m_plugin.rows import DescriptionRow
from tr2m_plugin.trusted import check_options

MADE = {"TransformersCaptioner": TransformersCaptioner, "OpenAICaptioner": OpenAICaptioner}


@pytest.fixture
def docs(repository):
    """The two sections."""
    text = (repository / "docs" / "descriptions.md").read_text()
    return text[text.index("## Any captioner of transformers") : text.index("## A dataset")]


def test_commands(docs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    cv2.imwrite("kitchen.jpg", np.full((20, 30, 3), 90, np.uint8))
    for family in ("blip", "idefics3"):
        save_captioner(family, tmp_path / family)
    commands = re.findall(r"^tr2m (describe .*)$", docs, re.MULTILINE)
    assert len(commands) == 4
    with serving() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        for command in commands:
            command = command.replace("http://localhost:11434/v1", server.url)
            command = command.replace("HuggingFaceTB/SmolVLM-256M-Instruct", "idefics3 max_new_tokens=4")
            words = shlex.split(command)
            words += ["--options", "model=blip", "max_new_tokens=4"] if words[-1] == "blip" else []
            assert main(words) == 0
    tables = {path.stem: read_table(path, columns_of(DescriptionRow)) for path in tmp_path.glob("*.parquet")}
    assert {name: (rows[0]["source"], len(rows)) for name, rows in tables.items()} == {
        "blip": ("blip", 1),
        "mine": ("idefics3", 5),
        "ollama": ("openai", 5),
        "cloud": ("openai", 5),
    }
    assert list((tmp_path / "answers").iterdir())


def test_sections_of_parameters(docs, repository):
    shown = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", docs, re.DOTALL)]
    entries = [entry for block in shown for entry in block["describe"].values()]
    comments = re.findall(r"# (\{type: \w+Captioner,.*\})$", (repository / "params.yaml").read_text(), re.MULTILINE)
    entries += [yaml.safe_load(comment) for comment in comments]
    assert len(entries) == 4
    for entry in entries:
        options = {name: value for name, value in entry.items() if name not in ("type", "engine")}
        check_options(MADE[entry["type"]], options, "shown")
        assert settings_of(entry["engine"], "shown").batch_size == entry["engine"]["batch_size"]
