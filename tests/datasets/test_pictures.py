import io
import json
import logging
import os

import cv2
import numpy as np
import pytest
from PIL import Image

from tr2m_plugin.datasets import RGBDFolder, pictures
from tr2m_plugin.datasets.arrays import read_image
from tr2m_plugin.datasets.pictures import (
    MAX_SENTENCE,
    cut_sentence,
    find_sentence,
    is_prediction,
    list_pictures,
    name_pictures,
    printable,
    read_sentence,
)
from tr2m_plugin.errors import InputError


@pytest.fixture(autouse=True)
def _every_warning():
    pictures.warn_once.cache_clear()


def photo(height=30, width=40):
    return np.random.default_rng(height).integers(0, 255, (height, width, 3)).astype(np.uint8)


def jpeg(*size):
    file = io.BytesIO()
    Image.fromarray(photo(*size)).save(file, "JPEG")
    return file.getvalue()


def claim(width, height):
    """A JPEG of few bytes that claims another size."""
    content = jpeg()
    place = content.find(b"\xff\xc0") + 5
    return content[:place] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + content[place + 4 :]


def image(suffix, pixels):
    return cv2.imencode(suffix, pixels)[1].tobytes()


LONG = "x" * 240
GOOD = {
    "a.jpg": jpeg(),
    "b.png": image(".png", photo()),
    "c.ppm": image(".ppm", photo()),
    "d.JFIF": jpeg(),
    "no extension": jpeg(),
    "sub/e.jpeg": jpeg(),
    "row.png": image(".png", photo(1, 40)),
    "rows.png": image(".png", photo(3, 40)),
    "one.png": image(".png", photo(1, 1)),
    "deep.png": image(".png", photo().astype(np.uint16) * 257),
    "mine_color.png": image(".png", photo()),
    os.fsdecode(b"caf\xe9.jpg"): jpeg(),
    "two\nlines.jpg": jpeg(),
    f"{LONG}.jpg": jpeg(),
}
"""Pictures."""

BAD = {
    "cut.jpg": (jpeg()[:-40], "is cut off"),
    "text.jpg": (b"no picture", "is not a picture"),
    "empty.png": (b"", "is not a picture"),
    "phone.jpg": (b"\0\0\0\x18ftypheic", "is it damaged, or a video"),
    "f.heic": (b"", "it is empty"),
    "claims.jpg": (claim(12000, 12000), "12000 × 12000 pixels, more than 120,000,000"),
    "claims_more.jpg": (claim(20000, 20000), "more than 240,000,000 pixels"),
    "column.jpg": (jpeg(800, 1), "a side is more than 50 times the other"),
}
"""What is called a picture and is an error of its own."""

LEFT_OUT = {
    "truth.png": (image(".png", np.ones((9, 9), np.uint16)), "depth maps? (more than 8 bits in one channel)"),
    "truth.tiff": (image(".tiff", np.ones((9, 9), np.float32)), "depth maps? (more than 8 bits in one channel)"),
    "a_color.png": (image(".png", photo()), "predictions of tr2m"),
    "a_depth.png": (image(".png", np.ones((9, 9), np.uint16)), "predictions of tr2m"),
    "a.json": (json.dumps({"format": "tr2m prediction"}).encode(), "of other kinds"),
    "a.npy": (b"", "of other kinds"),
    "mine.json": (b'{"shapes": []}', "of other kinds"),
    "._a.jpg": (b"", "._*"),
    "@eaDir/a.jpg": (jpeg(), "@eaDir"),
    "__MACOSX/a.jpg": (jpeg(), "__MACOSX"),
    ".ipynb_checkpoints/a.jpg": (jpeg(), ".ipynb_checkpoints"),
    ".Trash-1000/a.jpg": (jpeg(), ".Trash*"),
    ".hidden.jpg": (jpeg(), "hidden"),
    ".cache/a.jpg": (jpeg(), "hidden"),
    "Thumbs.db": (b"", "Thumbs.db"),
    "f.jxl": (b"", ".jxl (convert it to JPEG)"),
    "LICENSE": (b"Do as you please.", "of other kinds"),
    "f.CR2": (b"", ".cr2 (convert it to JPEG)"),
    "f.mp4": (b"", ".mp4 (a video: predict it by itself)"),
}
"""What is left out, with the reason."""

LINKS = {
    "endless.png": ("/dev/zero", "pipes, sockets and devices"),
    "loop.png": ("loop.png", "links that lead nowhere"),
    "lost.png": ("nowhere.png", "links that lead nowhere"),
    "again.jpg": ("a.jpg", "links to files that are there already"),
    "up": (".", "links to folders that are there already"),
    "far_too": ("../far", "links to folders that are there already"),
    "system": ("/", "links to a folder above"),
}


@pytest.fixture
def nasty(tmp_path):
    """A folder of fifty entries, most of which are trouble."""
    root = tmp_path / "nasty"
    files = {**GOOD, **{name: content for name, (content, _) in (BAD | LEFT_OUT).items()}}
    for name, content in {**files, "../far/g.jpg": jpeg()}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    (root / "folder.jpg").mkdir()
    os.mkfifo(root / "pipe.png")
    os.symlink("../far", root / "far")
    for name, (target, _) in LINKS.items():
        os.symlink(target, root / name)
    return root


def test_every_entry_of_a_nasty_folder_is_accounted_for(nasty, caplog):
    with caplog.at_level(logging.WARNING):
        found = {path.relative_to(nasty).as_posix(): path for path in list_pictures(nasty)}
    assert set(found) == {*GOOD, *BAD, "far/g.jpg"}
    counts = {}
    for reason in [reason for _, reason in (LEFT_OUT | LINKS).values()] + ["pipes, sockets and devices"]:
        counts[reason] = counts.get(reason, 0) + 1
    (message,) = caplog.messages
    assert message.startswith(f"{nasty}: {len(found)} pictures; left out: 1 .Trash*, 1 ._*, ")
    for reason, count in counts.items():
        assert f"{count} {reason}" in message
    for name, path in found.items():
        if name in BAD:
            with pytest.raises(InputError, match=BAD[name][1]):
                read_image(str(path))
        else:
            assert read_image(str(path)).ndim == 3
    list_pictures(nasty)
    assert len(caplog.messages) == 1, "said once"


def test_names_can_be_printed_and_written(nasty):
    names = [name for name, _ in name_pictures(nasty)]
    assert {"caf_", "two_lines", "sub/e", "far/g"} <= set(names)
    assert len(set(names)) == len(names) == len(GOOD) + len(BAD) + 1
    for name in names:
        assert name.isprintable()
        os.fsencode(name).decode()
    assert printable(os.fsdecode(b"\xff\xfe\n\x7f.jpg")) == "____.jpg"


def test_a_folder_without_pictures_says_what_it_holds(tmp_path):
    (tmp_path / "a.mp4").touch()
    (tmp_path / "b.mp4").touch()
    with pytest.raises(
        InputError, match=r"holds no picture \(.*\); left out: 2 .mp4 \(a video: predict it by itself\)$"
    ):
        list_pictures(tmp_path)


def test_a_single_file_is_taken_as_it_is_and_a_pipe_is_not(nasty):
    assert list_pictures(nasty / "truth.png") == [nasty / "truth.png"]
    with pytest.raises(InputError, match=r"truth.png looks like a depth map"):
        read_image(str(nasty / "truth.png"))
    for name in ("pipe.png", "endless.png", "lost.png", "y" * 300):
        with pytest.raises(InputError, match="is neither a picture nor a folder"):
            list_pictures(nasty / name)


def test_predictions_are_told_by_their_mark(tmp_path):
    for content, expected in (
        ('{"format": "tr2m prediction", "unit": "m"}', True),
        ('{"shapes": []}', False),
        ('["format"]', False),
        ("no JSON", False),
        ("[" * 100_000, False),
    ):
        (tmp_path / "a.b.json").write_text(content)
        assert is_prediction(tmp_path / "a.b_color.png") is expected
        assert is_prediction(tmp_path / "a.b_depth.png") is expected
        assert not is_prediction(tmp_path / "a.b.png")
    assert not is_prediction(tmp_path / "c_color.png")


def test_datasets_list_as_predictions_do(tmp_path, caplog):
    root = tmp_path / "lab"
    (tmp_path / "far").mkdir()
    root.mkdir()
    for name in ("a_rgb.jpg", "._b_rgb.jpg", os.fsdecode(b"caf\xe9_rgb.jpg"), "../far/c_rgb.jpg"):
        (root / name).write_bytes(jpeg())
    os.mkfifo(root / "d_rgb.jpg")
    os.symlink("../far", root / "far")
    with caplog.at_level(logging.WARNING):
        rows = RGBDFolder(str(root), image="*_rgb.jpg").index()
    assert [row.sample_id for row in rows] == ["a", "far/c"]
    assert "1 ._*, 1 pipes, sockets and devices, 1 whose names are not UTF-8: rename them" in caplog.text


def test_one_rule_for_sentences_beside_pictures(tmp_path):
    picture = tmp_path / "desk_rgb.jpg"
    for stem in ("desk.front", "desk", "desk_rgb"):
        (tmp_path / f"{stem}.txt").write_text(f"\ufeff\n  A {stem}.\u2028And more.  \nmore\n")
    assert read_sentence(picture) == "A desk_rgb.\u2028And more."
    (tmp_path / "desk_rgb.txt").unlink()
    assert read_sentence(picture) == "A desk.\u2028And more."
    assert read_sentence(picture, "sub/desk.front") == "A desk.front.\u2028And more."
    assert find_sentence(tmp_path / "desk_left.jpg") is None
    assert find_sentence(tmp_path / "desk_left.jpg", "desk") == tmp_path / "desk.txt"
    with pytest.raises(InputError, match=r"lamp_rgb.jpg has no description: .* write one into lamp_rgb.txt"):
        read_sentence(tmp_path / "lamp_rgb.jpg")


def test_a_text_that_cannot_be_read_is_an_error_of_its_picture(tmp_path):
    (tmp_path / "folder.txt").mkdir()
    os.mkfifo(tmp_path / "pipe.txt")
    os.symlink("/proc/self/mem", tmp_path / "failing.txt")
    os.symlink("/dev/zero", tmp_path / "endless.txt")
    os.symlink("nowhere", tmp_path / "lost.txt")
    (tmp_path / "mark.txt").write_bytes(b"\xef\xbb\xbf")
    (tmp_path / "latin.txt").write_bytes(b"Gr\xfcn")
    with (tmp_path / "huge.txt").open("wb") as file:
        file.truncate(10**9)
    for stem, reason in (
        ("folder", "cannot be read: Is a directory"),
        ("pipe", "is no file but a pipe"),
        ("failing", "cannot be read: Input/output error"),
        ("endless", "is no file but a pipe, a socket or a device"),
        ("lost", "does not exist"),
        ("mark", "holds no text"),
        ("latin", "is not a UTF-8 text file"),
        ("huge", "has more than 100 MB"),
    ):
        with pytest.raises(InputError, match=rf"{stem}.txt {reason}"):
            read_sentence(tmp_path / f"{stem}.jpg")


def test_a_sentence_of_megabytes_is_cut_with_a_word(tmp_path, caplog):
    (tmp_path / "a.txt").write_text("A desk. " * 250_000)
    with caplog.at_level(logging.WARNING):
        sentence = read_sentence(tmp_path / "a.jpg")
    assert sentence == ("A desk. " * 250_000)[:MAX_SENTENCE].rstrip()
    assert "a.txt holds a sentence of 1,999,999 characters: the first 2,000 are taken" in caplog.text
    assert cut_sentence("A desk.", "") == "A desk."


def test_a_file_of_labels_beside_a_picture_is_no_sentence(tmp_path):
    for text in ("0 0.51 0.62 0.10 0.20\n1 0.2 0.3 0.1 0.1", "...", "17"):
        (tmp_path / "a.txt").write_text(text)
        with pytest.raises(InputError, match=r"a.txt begins with '.*', which is no sentence"):
            read_sentence(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("桌子 0")
    assert read_sentence(tmp_path / "a.png") == "桌子 0"
