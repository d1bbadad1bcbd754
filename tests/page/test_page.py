"""The page in a browser: every button once, what it shows, and that nothing calls out."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from zipfile import ZipFile

import cv2
import numpy as np
import pytest

from pipelines.mini_world.domains import render
from tests.support.browser import browsing, find_browser
from tests.support.tiny_captioners import save_captioner
from tr2m_plugin.description.templates import SCENES

SERVER = """
import socket, sys
from tr2m_plugin.cli import main

def watched(name):
    before = getattr(socket, name)
    def told(*given, **options):
        open(sys.argv[1], "a").write(f"{given}\\n")
        return before(*given, **options)
    setattr(socket, name, told)

watched("getaddrinfo")
watched("create_connection")
sys.exit(main(["serve", *sys.argv[2:]]))
"""
"""The command, which writes down whom it calls."""

MARK = re.compile(r"(\d+), (\d+)\s+([\d.]+) m\s+([\d.]+) m")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def browser():
    found = find_browser()
    if found is None:
        pytest.skip("there is no Chromium to open the page with: apt-get install chromium")
    return found


@pytest.fixture(scope="module")
def server(folder, browser):
    """The command's process, and the page's address."""
    save_captioner("blip", folder / "blip")
    describer = ["--describe", "blip", "--describe-options", f"model={folder / 'blip'}", "max_new_tokens=6"]
    limits = ["--max-mb", "1", "--max-megapixels", "3"]
    command = [sys.executable, "-c", SERVER, str(folder / "calls"), "--port", "0", "--device", "cpu"]
    (folder / "temporary").mkdir()
    process = subprocess.Popen(
        [*command, *describer, *limits],
        env={**os.environ, "TMPDIR": str(folder / "temporary"), "TR2M_HOME": str(folder / "home")},
        stdout=subprocess.PIPE,
        text=True,
    )
    line = process.stdout.readline()
    address = re.search(r"http://\S+", line)
    assert address, line
    yield process, address[0]
    process.kill()


@pytest.fixture(scope="module")
def asked():
    """The addresses that the browser asked for."""
    return []


@pytest.fixture(scope="module")
def tab(server, browser, asked):
    with browsing(browser) as opened:
        opened.set_default_timeout(20_000)
        opened.on("request", lambda request: asked.append(request.url))
        opened.goto(server[1])
        opened.wait_for_selector("#measure")
        yield opened


@pytest.fixture(scope="module")
def picture(folder):
    path = folder / "room.png"
    cv2.imwrite(str(path), render("rooms", "test", 1).image[..., ::-1])
    return path


@pytest.fixture
def page(tab):
    """The page without a picture, on which the processor draws nothing."""
    yield tab
    remove(tab)


@pytest.fixture
def measured(page, picture):
    """The page with depth on it."""
    put(page, picture)
    wait_for(page, "#notes", "The camera is assumed")
    page.fill("#sentence textarea", "A bedroom with a bed and a chair.")
    page.click("#measure")
    page.wait_for_selector("#depth img")
    return page


def put(page, path):
    page.set_input_files("#picture input[type=file]", str(path))


def remove(page):
    page.click("#picture button[aria-label='Remove Image']")
    page.wait_for_function("!document.querySelector('#notes').innerText && !document.querySelector('#depth img')")


def wait_for(page, place, text):
    page.wait_for_function(f"document.querySelector('{place}').innerText.includes({json.dumps(text)})")


def complaint(page):
    """What the message says, which is then closed."""
    message = page.wait_for_selector(".toast-body")
    text = message.inner_text()
    page.click(".toast-close")
    page.wait_for_selector(".toast-body", state="detached")
    return text


def mark(page, x, y, number):
    """Clicks the depth at shares of its width and height, and gives what is told of the mark: u, v, depth, away."""
    box = page.wait_for_selector("#depth img").bounding_box()
    page.click("#depth img", position={"x": x * box["width"], "y": y * box["height"]})
    page.wait_for_function(f"document.querySelectorAll('#readout td b').length == {number}")
    return rows(page)[-1]


def rows(page):
    return [tuple(map(float, found)) for found in MARK.findall(page.inner_text("#readout"))]


def apart(page):
    return float(re.search(r"1 to 2: ([\d.]+) m", page.inner_text("#readout"))[1])


def seen(page):
    """The pixels of the surface's canvas."""
    content = page.locator("#surface canvas").screenshot()
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR).astype(int)


def test_what_is_wrong_is_told_and_the_page_goes_on(page, folder, picture):
    page.click("#measure")
    assert "there is no picture: drop one" in complaint(page)
    (folder / "bad.png").write_text("no picture")
    put(page, folder / "bad.png")
    assert "bad.png is not a picture" in complaint(page)
    cv2.imwrite(str(folder / "wide.png"), np.zeros((1600, 2000, 3), np.uint8))
    put(page, folder / "wide.png")
    assert "2000 × 1600 pixels: this page takes 3 million" in complaint(page)
    remove(page)
    cv2.imwrite(str(folder / "large.png"), np.random.default_rng(0).integers(0, 255, (600, 700, 3), np.uint8))
    put(page, folder / "large.png")
    assert "maximum allowed size" in complaint(page)
    put(page, picture)
    wait_for(page, "#notes", "The camera is assumed")
    page.click("#measure")
    assert "the sentence is empty" in complaint(page)
    page.click("#take")
    assert "there is no depth yet" in complaint(page)
    page.fill("#sentence textarea", "A bedroom.")
    page.click("#measure")
    page.wait_for_selector("#depth img")
    page.click("#anchor")
    assert "click the pixel" in complaint(page)


def test_a_sentence_comes_from_a_scene_or_a_describer(page, picture):
    put(page, picture)
    wait_for(page, "#notes", "The camera is assumed")
    page.click("#scene label:has-text('outdoor')")
    text = "document.querySelector('#sentence textarea').value"
    page.wait_for_function(f"{text} == {json.dumps(SCENES['outdoor'])}")
    page.click("#describe")
    page.wait_for_function(f"{text} && {text} != {json.dumps(SCENES['outdoor'])}")
    page.wait_for_function("!document.querySelector('#scene input:checked')")


def test_pixels_are_read_and_the_distance_between_two(measured):
    assert "depth in m" in measured.inner_text("#bar")
    u, v, depth, away = mark(measured, 0.25, 0.5, 1)
    assert abs(u - 35) <= 1  # of 140 × 112
    assert abs(v - 56) <= 1
    assert 0.3 < depth < 10
    assert depth <= away < 1.3 * depth
    mark(measured, 0.75, 0.5, 2)
    before = apart(measured)
    assert before > 0
    measured.fill("#fov input[type=number]", "90")
    wait_for(measured, "#notes", "field of view of 90")
    assert "assumed" not in measured.inner_text("#notes")
    assert apart(measured) > before
    box = measured.locator("#picture img").bounding_box()  # whose pixels are marked too
    measured.click("#picture img", position={"x": 0.5 * box["width"], "y": 0.5 * box["height"]})
    measured.wait_for_function("document.querySelectorAll('#readout td b').length == 1")
    assert abs(rows(measured)[0][0] - 70) <= 1


def test_a_known_depth_moves_all(measured):
    first = mark(measured, 0.25, 0.5, 1)
    second = mark(measured, 0.75, 0.75, 2)
    measured.fill("#known input", str(2 * second[2]))
    measured.click("#anchor")
    wait_for(measured, "#notes", "times what the model said")
    assert [row[2] for row in rows(measured)] == pytest.approx([2 * first[2], 2 * second[2]], rel=0.01)
    measured.click("#forget")
    measured.wait_for_function("!document.querySelector('#notes').innerText.includes('times')")
    assert rows(measured) == [first, second]


def test_the_surface_is_seen_and_turns(measured):
    measured.wait_for_selector("#surface canvas")
    measured.wait_for_timeout(1500)
    before = seen(measured)
    background = before[5, before.shape[1] // 2]
    assert (np.abs(before - background).sum(-1) > 30).mean() > 0.2
    box = measured.locator("#surface canvas").bounding_box()
    measured.mouse.move(box["x"] + 200, box["y"] + 200)
    measured.mouse.down()
    measured.mouse.move(box["x"] + 330, box["y"] + 230, steps=5)
    measured.mouse.up()
    measured.wait_for_timeout(500)
    assert (np.abs(seen(measured) - before).sum(-1) > 30).mean() > 0.1


def test_all_files_are_to_be_had(measured):
    measured.click("#take")
    measured.wait_for_selector("#files a[download]")
    names = "".join(measured.inner_text("#files").split())
    for ending in (".zip", ".npy", "_depth.png", "_color.png", ".json", ".ply", ".glb"):
        assert f"room{ending}" in names
    link = measured.locator("#files a[download]").first
    assert link.get_attribute("download") == "room.zip"
    content = measured.request.get(link.get_attribute("href")).body()
    with ZipFile(io.BytesIO(content)) as packed:
        facts = json.loads(packed.read("room.json"))
        depth = np.load(io.BytesIO(packed.read("room.npy")))
    assert depth.shape == (112, 140)
    assert facts["intrinsics"]["source"] == "assumed: horizontal field of view of 60 degrees"
    assert facts["picture"] is None


def test_the_webcam_takes_a_picture(page):
    page.click("#picture button[aria-label='Capture from camera']")
    page.click("#picture button:has-text('Access Webcam')")
    page.wait_for_function("document.querySelector('#picture video').videoWidth")
    page.click("#picture button[aria-label='capture photo']")
    wait_for(page, "#notes", "The camera is assumed")
    page.click("#scene label:has-text('indoor')")
    page.wait_for_function("document.querySelector('#sentence textarea').value")
    page.click("#measure")
    mark(page, 0.5, 0.5, 1)


def test_nothing_calls_out_and_nothing_is_left(server, folder, asked):
    process, address = server
    schemes = (f"{address}/", "blob:", "data:")
    assert [url for url in asked if not url.startswith(schemes)] == []
    calls = (folder / "calls").read_text().splitlines() if (folder / "calls").exists() else []
    assert [call for call in calls if "127.0.0.1" not in call and "localhost" not in call] == []
    assert list((folder / "temporary").iterdir())
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert list((folder / "temporary").iterdir()) == []
