"""Describers that look at pictures, through the stage: fifteen rows a picture, bad pictures, kills, clusters."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import count

import cv2
import numpy as np
import pytest
import torch

from benchmarks.tiny_llava import save_llava
from pipelines import describe, descriptions, list_objects
from pipelines.params import Stage
from tests.support.chat_server import serving
from tests.support.maskdino import original
from tr2m_plugin.datasets.parquet import columns_of, read_rows, read_table, sample_key, write_rows
from tr2m_plugin.description.describers import DESCRIBERS
from tr2m_plugin.errors import InputError, ServiceError
from tr2m_plugin.rows import DescriptionRow, ErrorRow, IndexRow, ListedRow

PROMPT = ["Describe the image in one sentence."]


@pytest.fixture(scope="module")
def networks(data, tmp_path_factory):
    """Folders of tiny LLaVAs of both families, and a file of a tiny MaskDINO."""
    root = tmp_path_factory.mktemp("networks")
    for family in ("vicuna", "mistral"):
        save_llava(root / family, family)
    torch.save({"model": original(data, "r50")}, root / "maskdino.pth")
    return root


def pictures(root, count, dataset="mine"):
    """Pictures of several sizes, and their index."""
    rng = np.random.default_rng(0)
    (root / "pictures").mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(count):
        path = root / "pictures" / f"{i:03d}.png"
        cv2.imwrite(str(path), rng.integers(0, 255, (24 + i % 3 * 10, 40 - i % 4 * 5, 3), np.uint8))
        rows.append(IndexRow(dataset=dataset, sample_id=f"{i:03d}", split="train", image=str(path)))
    write_rows(root / "index.parquet", IndexRow, rows)
    return rows


def run(root, default=None, **items):
    """Items of `describe`, those of `list_objects` when they are listers, then the table."""
    for item, entry in items.items():
        entry = {
            **entry,
            "engine": {"workers": 0, "device": "cpu", "shard_size": 4, "batch_size": 2, **entry["engine"]},
        }
        module = list_objects if DESCRIBERS[entry["type"]].role == "lister" else describe
        module.stage(Stage("test", entry, root, item))
    descriptions.stage(Stage("test", {"default": default, "style": "rsa"}, root))
    return read_table(root / "descriptions.parquet", columns_of(DescriptionRow))


def llava(networks, family="vicuna", engine=None, **options):
    return {"type": "Llava", "model": str(networks / family), "max_new_tokens": 6, "engine": engine or {}, **options}


def test_fifteen_rows_a_picture(networks, tmp_path):
    pictures(tmp_path, 3)
    maskdino = {
        "type": "MaskDino",
        "weights": str(networks / "maskdino.pth"),
        "size": 64,
        "num_queries": 20,
        "engine": {},
    }
    rows = run(
        tmp_path,
        llava_vicuna=llava(networks, "vicuna"),
        llava_mistral=llava(networks, "mistral"),
        maskdino=maskdino,
    )
    assert len(rows) == 3 * 15
    found = {(row["sample_id"], row["source"], row["variant"]) for row in rows}
    sources = ("llava-vicuna", "llava-mistral", "maskdino")
    assert found == {(f"{i:03d}", source, v) for i in range(3) for source in sources for v in range(5)}
    assert rows[0]["source"] == "llava-mistral", "as in RSA's files, Mistral comes first"
    assert all(row["text"] and row["dataset"] == "mine" and row["model"] for row in rows)
    assert all((row["prompt"] is None) == (row["source"] == "maskdino") for row in rows)
    assert {row["model"] for row in rows if row["source"] == "maskdino"} == {"maskdino.pth"}
    listed = read_table(next((tmp_path / "objects" / "maskdino").glob("0*.parquet")), columns_of(ListedRow))
    assert {row["sample_id"] for row in listed} == {"000", "001", "002"}, "also those in which nothing was found"


def bad_pictures(root):
    folder = root / "pictures"
    whole = (folder / "000.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "text.png").write_text("not a picture")
    from PIL import Image

    Image.new("1", (12000, 11000)).save(folder / "huge.png")
    names = ["cut.png", "text.png", "huge.png", "missing.png"]
    rows = read_rows(root / "index.parquet", IndexRow)
    rows += [IndexRow(dataset="mine", sample_id=n, split="train", image=str(folder / n)) for n in names]
    write_rows(root / "index.parquet", IndexRow, rows)
    return names


def test_a_bad_picture_is_a_row_of_the_error_table(networks, tmp_path):
    pictures(tmp_path, 4)
    names = bad_pictures(tmp_path)
    rows = run(tmp_path, llava_vicuna=llava(networks, prompts=PROMPT, engine={"max_error_share": 0.7}))
    assert {row["sample_id"] for row in rows} == {f"{i:03d}" for i in range(4)}
    folder = tmp_path / "described" / "llava_vicuna"
    reasons = {row["sample_id"]: row["reason"] for row in read_table(folder / "errors.parquet", columns_of(ErrorRow))}
    assert set(reasons) == set(names)
    for name, reason in (
        ("cut.png", "not a picture that can be read"),
        ("text.png", "not a picture that can be read"),
        ("huge.png", "12000 × 11000 pixels, more than 120,000,000"),
        ("missing.png", "does not exist"),
    ):
        assert reason in reasons[name]
        assert name in reasons[name]
    with pytest.raises(InputError, match=r"4 of 8 rows failed"):
        run(tmp_path, llava_vicuna=llava(networks, prompts=PROMPT, engine={"max_error_share": 0.4}))


def test_only_what_is_missing_is_described(networks, tmp_path, capsys):
    pictures(tmp_path, 8)
    first = run(tmp_path, llava_vicuna=llava(networks, prompts=PROMPT))
    one = sorted((tmp_path / "described" / "llava_vicuna").glob("00001-*.parquet"))[0]
    one.unlink()
    capsys.readouterr()
    assert run(tmp_path, llava_vicuna=llava(networks, prompts=PROMPT)) == first
    assert "4 rows in 1 shards to do" in capsys.readouterr().out
    run(tmp_path, llava_vicuna=llava(networks, prompts=PROMPT, max_new_tokens=3))
    assert "8 rows in 2 shards to do" in capsys.readouterr().out, "settings are part of a shard's name"


def test_a_served_model_on_ray(tmp_path, monkeypatch):
    """The key reaches the workers; where it is refused, the job ends, and what is done is not asked for again."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    pictures(tmp_path, 12)
    refusing, counted = [True], count()
    with serving(lambda *_: (401, {}, b"") if refusing and next(counted) >= 6 else None) as server:
        engine = {"workers": 2, "shard_size": 2, "batch_size": 2}
        entry = {
            "type": "OpenAICaptioner",
            "model": "tiny",
            "base_url": server.url,
            "prompts": PROMPT,
            "engine": engine,
        }
        with pytest.raises(ServiceError, match="the key is refused"):
            run(tmp_path, openai=entry)
        done = sum(len(read_rows(path, DescriptionRow)) for path in (tmp_path / "described/openai").glob("0*.parquet"))
        refusing.clear()
        asked = len(server.asked)
        rows = run(tmp_path, openai=entry)
        assert len(server.asked) - asked == 12 - done
        assert {headers["Authorization"] for headers, _ in server.asked} == {"Bearer sk-1"}
    assert len(rows) == 12
    assert 0 < done < 12


def test_pictures_without_a_sentence(networks, tmp_path):
    rows = pictures(tmp_path, 4)
    write_rows(tmp_path / "index.parquet", IndexRow, [*rows[:2], *(replace(row, dataset="other") for row in rows[2:])])
    entry = llava(networks, prompts=PROMPT, datasets=["mine"])
    with pytest.raises(
        InputError, match=r"2 of 4 pictures have no description, such as other/002, other/003; descriptions.default"
    ):
        run(tmp_path, llava_vicuna=entry)
    found = run(tmp_path, llava_vicuna=entry, default="A scene.")
    assert [(row["sample_id"], row["text"]) for row in found if row["source"] == "default"] == [
        ("002", "A scene."),
        ("003", "A scene."),
    ]


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {repository!r})
from pipelines import describe, descriptions
from pipelines.params import Stage
if __name__ == "__main__":
    describe.stage(Stage("test", {entry!r}, Path({root!r}), "llava_vicuna"))
    descriptions.stage(Stage("test", {{}}, Path({root!r})))
"""


def job(repository, root, entry, script):
    script.write_text(SCRIPT.format(repository=str(repository), root=str(root), entry=entry))
    environment = {**os.environ, "PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(script)],
        start_new_session=True,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def workers_of(parent):
    """Processes of Ray's actors that belong to a session."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            command = open(f"/proc/{entry}/cmdline").read()  # noqa: SIM115
            if command.startswith("ray::Worker") and os.getsid(int(entry)) == os.getsid(parent):
                found.append(int(entry))
        except OSError:
            continue
    return found


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="finds workers in /proc")
def test_with_a_worker_killed_it_ends_complete(networks, tmp_path, repository):
    """Two hundred pictures, signal 9: the worker is replaced. For the driver's death see test_dvc.py."""
    pictures(tmp_path, 200)
    engine = {"workers": 2, "device": "cpu", "shard_size": 10, "batch_size": 5}
    entry = llava(networks, prompts=PROMPT, max_new_tokens=4, engine=engine)
    process = job(repository, tmp_path, entry, tmp_path / "job.py")
    shards = tmp_path / "described" / "llava_vicuna"
    deadline = time.monotonic() + 300
    while len(list(shards.glob("0*.parquet"))) < 4 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    alive = workers_of(process.pid)
    assert alive, "a worker is at work"
    os.kill(alive[0], signal.SIGKILL)
    out = process.communicate(timeout=400)[0]
    assert process.returncode == 0, out[-3000:]
    rows = read_table(tmp_path / "descriptions.parquet", columns_of(DescriptionRow))
    assert len(rows) == len({sample_key(row) for row in rows}) == 200
