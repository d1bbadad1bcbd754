"""A captioner behind OpenAI's API, against a real server on this machine with every fault that servers have."""

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from email.utils import formatdate

import cv2
import numpy as np
import pytest

from pipelines import describe as stage
from pipelines.params import Stage
from tests.support.chat_server import completion, serving
from tr2m_plugin.cli import main
from tr2m_plugin.datasets.parquet import columns_of, read_rows, read_table, write_rows
from tr2m_plugin.description import chat_server
from tr2m_plugin.description.chat_server import retry_after
from tr2m_plugin.description.describers import make_describer
from tr2m_plugin.description.openai_captioner import data_url
from tr2m_plugin.description.prompts import PROMPTS
from tr2m_plugin.errors import InputError, ServiceError
from tr2m_plugin.rows import DescriptionRow, ErrorRow, IndexRow

PROMPT = ["What is it?"]
KEY = "sk-a-secret-1234"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(chat_server, "FIRST_PAUSE", 0.02)


def grey(value):
    return np.full((30, 40, 3), value, np.uint8)


def rows_of(count):
    return [IndexRow(dataset="d", sample_id=f"{i:03d}", split="train", image=f"{i:03d}.png") for i in range(count)]


def captioner(server, **options):
    given = {"model": "tiny", "base_url": server.url, "prompts": PROMPT, "timeout": 5, **options}
    return make_describer("OpenAICaptioner", given)


def ask(server, count=1, **options):
    return captioner(server, **options).each(rows_of(count), [grey(10 * i % 250) for i in range(count)])


def test_rows_and_what_is_asked(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    with serving(lambda *_: (200, {}, completion("A kitchen.\nIt is", why="length", model="tiny-2"))) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url + "/")
        made = make_describer("OpenAICaptioner", {"model": "tiny", "seed": 3, "max_side": 20})
        rows = made.describe(rows_of(2), [grey(0), grey(10)])
        headers, body = server.asked[0]
    assert [(row.sample_id, row.variant, row.prompt) for row in rows] == [
        (f"00{n}", v, prompt) for n in range(2) for v, prompt in enumerate(PROMPTS)
    ]
    assert set(rows) == {
        replace(row, text="A kitchen.", source="openai", model="tiny", revision="tiny-2", seed=3, flags="cut")
        for row in rows
    }
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert {name: value for name, value in body.items() if name != "messages"} == {
        "model": "tiny",
        "max_tokens": 96,
        "temperature": 0.0,
        "seed": 3,
    }
    content = body["messages"][0]["content"][1]["image_url"]["url"].partition(",")[2]
    assert cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_COLOR).shape == (15, 20, 3)


def test_pictures_are_sent_in_the_right_order_of_colours():
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 255
    jpeg = base64.b64decode(data_url(red, 64).partition(",")[2])
    blue_green_red = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).mean((0, 1))
    assert blue_green_red[2] > 240
    assert blue_green_red[:2].max() < 15


def test_many_are_on_their_way_but_no_more_than_said():
    with serving(seconds=0.1) as server:
        began = time.monotonic()
        found = ask(server, 24, in_flight=6)
        seconds = time.monotonic() - began
        assert server.most_open == 6
    assert [lines[0].text for lines in found] == [f"Grey {10 * i}: {PROMPT[0]}" for i in range(24)]
    assert seconds < 1.2, "a quarter of what one after another takes"
    assert "Authorization" not in server.asked[0][0], "no key, none sent"


def hang(handler):
    time.sleep(1)


def close(handler):
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def cut(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{")
    close(handler)


FAULTS = {
    "429": (429, {"Retry-After": "0"}, {"error": {"message": "slow down"}}),
    "500": (500, {}, b"<html>oops</html>"),
    "503 with a date": (503, {"Retry-After": formatdate(usegmt=True)}, b""),
    "timeout": hang,
    "closed": close,
    "cut off": cut,
    "malformed": (200, {}, b'{"choices": ['),
    "empty": (200, {}, {"choices": []}),
    "an error as an answer": (200, {}, {"error": {"message": "overloaded"}}),
    "no object": (200, {}, [1]),
}
REASONS = {
    "429": "status 429: slow down",
    "500": "status 500",
    "503 with a date": "status 503",
    "timeout": "no answer in 0.3 s",
    "closed": "RemoteProtocolError|ReadError",
    "cut off": "RemoteProtocolError",
    "malformed": "no chat completion",
    "empty": "no chat completion",
    "an error as an answer": "no chat completion: 'overloaded'",
    "no object": "no chat completion",
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_passes_is_asked_again(name):
    timeout = 0.3 if name == "timeout" else 5
    with serving(lambda tried, question: FAULTS[name] if tried < 2 and question[1] == 10 else None) as server:
        found = ask(server, 3, timeout=timeout)
        assert server.tries == {(PROMPT[0], 0): 1, (PROMPT[0], 10): 3, (PROMPT[0], 20): 1}
    assert [lines[0].text for lines in found] == [f"Grey {grey}: {PROMPT[0]}" for grey in (0, 10, 20)]


@pytest.mark.parametrize("name", FAULTS)
def test_what_does_not_pass_is_the_pictures_own(name):
    timeout = 0.3 if name == "timeout" else 5
    with serving(lambda tried, question: FAULTS[name] if question[1] == 10 else None) as server:
        first, second, third = ask(server, 3, timeout=timeout, tries=2)
        assert server.tries[PROMPT[0], 10] == 2
    assert isinstance(second, InputError)
    assert re.search(rf"d/001: .*({REASONS[name]}).*, after 2 tries", str(second))
    assert (first[0].sample_id, third[0].sample_id) == ("000", "002")


def test_pauses_double_and_none_is_shorter_than_asked(monkeypatch):
    monkeypatch.setattr(chat_server, "FIRST_PAUSE", 0.2)
    with serving(lambda tried, _: (500, {}, b"") if tried < 3 else None) as server:
        ask(server)
        (times,) = server.times.values()
    pauses = np.diff(times)
    for pause, least in zip(pauses, (0.1, 0.2, 0.4), strict=True):
        assert least <= pause < 2 * least + 0.3
    with serving(lambda tried, q: (429, {"Retry-After": "1"}, b"") if tried < 1 and q[1] == 0 else None, 0.1) as server:
        ask(server, 8, in_flight=2)
        times = server.times
    first, again = times.pop((PROMPT[0], 0))
    assert again - first >= 1
    others = [one for (one,) in times.values()]
    assert sum(first + 0.5 < one < first + 1 for one in others) == 0, "all wait"


def test_who_asks_to_wait_too_long_is_not_waited_for():
    with serving(lambda *_: (429, {"Retry-After": "3600"}, b"")) as server:
        (found,) = ask(server)
        assert len(server.asked) == 1
    assert "it asks to wait 3600 s, longer than longest_wait" in str(found)


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [("3", 3, 3), ("0.5", 0.5, 0.5), ("-1", 0, 0), (100, 50, 101)],
)
def test_retry_after(value, least, most):
    said = value if isinstance(value, str) else formatdate(time.time() + value, usegmt=True)  # seconds: as a date
    assert least <= retry_after(said) <= most


@pytest.mark.parametrize("value", [None, "", "soon", "nan", "inf"])
def test_retry_after_that_says_nothing(value):
    assert retry_after(value) is None


REFUSED = (400, {}, {"error": {"message": "image\n too   large", "code": "bad"}})


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (REFUSED, "status 400: image too large"),
        ((403, {}, {"error": "flagged"}), "status 403: flagged"),
        ((200, {}, {"choices": [{"message": {"content": None, "refusal": "I will not."}}]}), "I will not"),
        ((200, {}, completion("", why="content_filter")), "content_filter"),
    ],
)
def test_a_refused_picture_is_asked_about_once(fault, reason):
    with serving(lambda _, question: fault if question[1] == 10 else None) as server:
        first, second, third = ask(server, 3)
        assert set(server.tries.values()) == {1}
        with pytest.raises(InputError, match="d/001"):
            captioner(server).describe(rows_of(2), [grey(0), grey(10)])
    assert reason in str(second)
    assert str(second).startswith("d/001: 127.0.0.1")
    assert first[0].text
    assert third[0].text


def test_an_answer_that_holds_nothing_or_what_files_cannot_hold():
    answers = {0: "", 10: "A room\0 with \ud83d.", 20: "word " * 1000}
    with serving(lambda _, question: (200, {}, completion(answers[question[1]]))) as server:
        found = ask(server, 3)
    assert [(lines[0].text, lines[0].flags) for lines in found[:2]] == [
        ("An image.", "blank"),
        ("A room with ?.", None),
    ]
    assert len(found[2][0].text) <= 2000


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            (401, {}, {"error": {"message": f"Incorrect API key: {KEY}"}}),
            r"the key is refused: set OPENAI_API_KEY.*\*\*\*",
        ),
        ((402, {}, b""), "no credit left"),
        ((404, {}, {"error": {"message": "no model tiny"}}), r"no such model or address.*no model tiny"),
        ((429, {}, {"error": {"code": "insufficient_quota", "message": "pay"}}), r"no credit left .*pay"),
        ((307, {"Location": "http://127.0.0.1:1/"}, b""), "give that address as base_url"),
    ],
)
def test_what_the_next_would_get_too_ends_all(monkeypatch, fault, message):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving(lambda *_: fault) as server:
        with pytest.raises(ServiceError, match=message) as raised:
            ask(server, 50, in_flight=2)
        assert len(server.asked) <= 4
    assert KEY not in str(raised.value)


def test_so_many_failures_in_a_row_end_all():
    with serving(lambda _, question: REFUSED if question[1] != 50 else None) as server:
        made = captioner(server, in_flight=1, most_in_a_row=6)
        found = made.each(rows_of(11), [grey(10 * i) for i in range(11)])
        assert sum(isinstance(one, InputError) for one in found) == 10, "five, one that is answered, five"
        with pytest.raises(ServiceError, match=r"6 pictures failed one after another, at last .*too large"):
            made.each(rows_of(25), [grey(200)] * 25)
        assert len(server.asked) <= 11 + 3


def test_nobody_there(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{free.getsockname()[1]}/v1")
        made = make_describer("OpenAICaptioner", {"model": "tiny", "tries": 2, "prompts": PROMPT})
        (found,) = made.each(rows_of(1), [grey(0)])
    assert "ConnectError" in str(found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "OpenAICaptioner lacks model"),
        ({"model": "a", "api_key": "b"}, "has no option 'api_key'"),
        ({"model": "a", "in_flight": 0}, "in_flight must be above 0"),
        ({"model": "a", "prompts": [""]}, "questions that are not blank"),
        ({"model": "a", "base_url": "localhost:8000"}, "base_url is an address such as"),
        ({"model": "a", "base_url": "http://[1/v1"}, "base_url is an address such as"),
        ({"model": "a", "base_url": "https://me:secret@host/v1"}, "holds a name or a password"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(InputError, match=message) as raised:
        make_describer("OpenAICaptioner", options)
    assert "secret" not in str(raised.value)


def test_a_key_that_is_none(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk\nline")
    with pytest.raises(InputError, match="OPENAI_API_KEY holds characters that are of no key"):
        make_describer("OpenAICaptioner", {"model": "a"})


def test_kept_answers_are_not_asked_for_again(tmp_path):
    with serving(lambda tried, question: REFUSED if question[1] == 10 and not tried else None) as server:
        first = ask(server, 3, keep=str(tmp_path / "answers"))
        assert len(server.asked) == 3
        (file,) = (tmp_path / "answers").glob("*.jsonl")
        with file.open("a") as kept:
            kept.write('\n["half a li')  # as a kill leaves it
        second = ask(server, 3, keep=str(tmp_path / "answers"))
        assert len(server.asked) == 4, "only the one that failed"
        assert ask(server, 3, keep=str(tmp_path / "answers")) == second
        assert len(server.asked) == 4
        ask(server, 3, keep=str(tmp_path / "answers"), prompts=["Where?"])
        assert len(server.asked) == 7, "another question"
    assert (second[0], second[2]) == (first[0], first[2])
    assert second[1][0].text.startswith("Grey 10")


def pictures(root, count):
    (root / "pictures").mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(count):
        path = root / "pictures" / f"{i:03d}.png"
        cv2.imwrite(str(path), grey(10 * i))
        rows.append(IndexRow(dataset="d", sample_id=f"{i:03d}", split="train", image=str(path)))
    write_rows(root / "index.parquet", IndexRow, rows)


def run(root, server, engine=None, **options):
    engine = {"workers": 0, "shard_size": 4, "batch_size": 4, "max_error_share": 0.2, **(engine or {})}
    entry = {"type": "OpenAICaptioner", "model": "tiny", "base_url": server.url, "prompts": PROMPT, **options}
    stage.stage(Stage("test", {**entry, "engine": engine}, root, "openai"))
    tables = sorted((root / "described" / "openai").glob("0*.parquet"))
    return [row for table in tables for row in read_rows(table, DescriptionRow)]


def test_the_stage(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    pictures(tmp_path, 12)
    with serving(lambda _, question: REFUSED if question[1] == 50 else None) as server:
        rows = run(tmp_path, server)
        assert len(server.asked) == 12, "a refused picture costs its batch nothing"
        run(tmp_path, server, in_flight=3, timeout=7.5)
        assert len(server.asked) == 12, "what no answer depends on may change"
        run(tmp_path, server, max_tokens=20)
        assert len(server.asked) == 24
        with pytest.raises(InputError, match="1 of 12 rows failed"):
            run(tmp_path, server, {"max_error_share": 0})
    assert [row.sample_id for row in rows] == [f"{i:03d}" for i in range(12) if i != 5]
    (error,) = read_table(tmp_path / "described" / "openai" / "errors.parquet", columns_of(ErrorRow))
    assert (error["sample_id"], "image too large" in error["reason"]) == ("005", True)
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes()


def test_a_refused_key_ends_the_stage_and_what_is_done_is_kept(tmp_path):
    pictures(tmp_path, 12)
    fail = []

    def faults(tried, question):
        return (401, {}, b"") if fail and question[1] >= 60 else None

    with serving(faults) as server:
        fail.append(True)
        with pytest.raises(ServiceError, match="the key is refused"):
            run(tmp_path, server, keep="answers")
        done = len(server.asked)
        fail.clear()
        assert len(run(tmp_path, server, keep="answers")) == 12
        again = [question for question, tries in server.tries.items() if tries > 1]
        assert all(grey >= 60 for _, grey in again)
    assert 6 < done < 12
    assert (tmp_path / "answers").is_dir()


COMMAND = ["describe", "--describer", "openai"]


def described(table):
    return [row["sample_id"] for row in read_table(table, columns_of(DescriptionRow))]


def test_the_command(tmp_path, capsys):
    pictures(tmp_path, 6)
    (tmp_path / "pictures" / "broken.png").write_text("nothing")
    out = tmp_path / "table.parquet"
    command = [
        "describe",
        str(tmp_path / "pictures"),
        "-o",
        str(out),
        "--describer",
        "openai",
        "--options",
        "model=tiny",
    ]
    with serving(lambda _, question: REFUSED if question[1] == 20 else None) as server:
        assert main([*command, f"base_url={server.url}", f"prompts={json.dumps(PROMPT)}"]) == 2
    assert [row["sample_id"] for row in read_table(out, columns_of(DescriptionRow))] == [
        "000",
        "001",
        "003",
        "004",
        "005",
    ]
    error = capsys.readouterr().err
    assert "002.png: pictures/002: 127.0.0.1" in error
    assert "image too large" in error
    assert "broken.png is not a picture" in error
    assert "2 pictures failed" in error
    with serving(lambda *_: (401, {}, b"")) as server:
        assert main([*command, f"base_url={server.url}"]) == 2
    assert "the key is refused: set OPENAI_API_KEY" in capsys.readouterr().err
    assert len(described(out)) == 5, "an earlier table stays"


def test_what_was_paid_before_the_end_is_in_the_table(tmp_path, capsys):
    pictures(tmp_path, 12)
    out = tmp_path / "table.parquet"
    command = [
        "describe",
        str(tmp_path / "pictures"),
        "-o",
        str(out),
        "--describer",
        "openai",
        "--options",
        "model=tiny",
    ]
    with serving(lambda _, question: (402, {}, b"") if question[1] >= 80 else None) as server:
        assert main([*command, f"base_url={server.url}", f"prompts={json.dumps(PROMPT)}", "in_flight=1"]) == 2
    assert described(out) == [f"{i:03d}" for i in range(8)]
    assert f"no credit left (status 402); {out} holds the 8 sentences before that" in capsys.readouterr().err


def test_an_interruption_ends_it_at_once(tmp_path, repository):
    pictures(tmp_path, 3)
    with serving(seconds=30) as server:
        command = [*COMMAND, str(tmp_path / "pictures"), "-o", str(tmp_path / "t.parquet")]
        process = subprocess.Popen(
            [sys.executable, "-m", "tr2m_plugin.cli", *command, "--options", "model=tiny", f"base_url={server.url}"],
            cwd=repository,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # what runs in the background ignores it
        )
        deadline = time.monotonic() + 60
        while not server.open and time.monotonic() < deadline:
            time.sleep(0.05)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        error = process.communicate(timeout=25)[1]
        assert time.monotonic() - began < 10
        server.seconds = 0
    assert process.returncode == 130
    assert "tr2m: interrupted" in error
    assert "Traceback" not in error
