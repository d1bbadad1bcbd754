import cv2
import numpy as np
import pytest
from PIL import Image

from tests.support.tiny_captioners import save_captioner
from tr2m_plugin.errors import InputError
from tr2m_plugin.inference.inferencer import TR2MInferencer
from tr2m_plugin.page.desk import Desk, Limits


@pytest.fixture(scope="module")
def inferencer():
    return TR2MInferencer("tr2m_mini", device="cpu", show_progress=False)


@pytest.fixture
def desk(inferencer):
    return Desk(inferencer, device="cpu")


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "a desk.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8))
    return path


def test_a_picture_is_opened_with_the_camera_of_its_exif_data(desk, picture, tmp_path):
    view = desk.open(picture)
    assert view.name == "a desk"
    assert view.image.shape == (40, 60, 3)
    assert view.is_assumed
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 26
    Image.new("RGB", (60, 40)).save(tmp_path / "phone.jpg", exif=exif)
    read = desk.open(tmp_path / "phone.jpg")
    assert not read.is_assumed
    assert read.fov == pytest.approx(69.4, abs=0.1)  # 36 mm of film before a lens of 26 mm


def test_what_is_no_picture_is_named_but_not_its_place(desk, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_text("no picture")
    with pytest.raises(InputError, match=r"^bad\.png is not a picture"):
        desk.open(bad)


def test_limits_are_told(inferencer, picture, tmp_path):
    with pytest.raises(InputError, match=r"a desk\.png has .* MB: this page takes 0\.001 MB at most \(--max-mb\)"):
        Desk(inferencer, limits=Limits(megabytes=0.001)).open(picture)
    with pytest.raises(InputError, match=r"60 × 40 pixels: this page takes 0\.002 million .*--max-megapixels"):
        Desk(inferencer, limits=Limits(megapixels=0.002)).open(picture)


def test_depth_is_what_the_inferencer_says(desk, picture, inferencer):
    view = desk.measure(desk.open(picture), "A desk.")
    (alone,) = inferencer(str(picture), "A desk.")
    np.testing.assert_array_equal(view.prediction.depth, alone.depth)
    assert (view.prediction.name, view.prediction.source) == ("a desk", None)
    for empty in ("", "  \n"):
        with pytest.raises(InputError, match="the sentence is empty"):
            desk.measure(view, empty)


def test_a_describer_is_made_once(inferencer, picture, tmp_path, monkeypatch):
    from tr2m_plugin.page import desk as module

    save_captioner("blip", tmp_path / "blip")
    made = []
    monkeypatch.setattr(
        module, "make_describer", lambda *given, make=module.make_describer: made.append(1) or make(*given)
    )
    options = {"model": str(tmp_path / "blip"), "max_new_tokens": 6}
    desk = Desk(inferencer, "blip", options, "cpu")
    first = desk.describe(desk.open(picture))
    assert isinstance(first, str)
    assert first
    assert desk.describe(desk.open(picture)) == first
    assert made == [1]
    with pytest.raises(InputError, match="--describe NAME"):
        Desk(inferencer).describe(desk.open(picture))
