"""HEIC and AVIF, and other files that strangers bring."""

import struct

import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import Image

from tr2m_plugin.datasets import heif
from tr2m_plugin.datasets.arrays import read_depth, read_image
from tr2m_plugin.datasets.exif import read_focal
from tr2m_plugin.datasets.headers import ORIENTATION, read_header, turn
from tr2m_plugin.datasets.pictures import list_pictures
from tr2m_plugin.errors import InputError

PHOTO = cv2.resize(np.random.default_rng(1).integers(0, 255, (6, 8, 3)).astype(np.uint8), (64, 48))


@pytest.fixture(autouse=True)
def _known():
    pillow_heif.register_heif_opener()  # as the tests write such files


def save(path, orientation=None, pixels=PHOTO, **options):
    exif = Image.Exif()
    if orientation is not None:
        exif[ORIENTATION] = orientation
    exif.get_ifd(0x8769)[0xA405] = 28  # mm on 35 mm film
    Image.fromarray(pixels).save(path, exif=exif.tobytes(), **options)
    return str(path)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["heic", "avif"])
def test_the_files_own_rotation_is_applied_once(tmp_path, suffix, orientation):
    path = save(tmp_path / f"a.{suffix}", orientation, quality=100, **({"chroma": 444} if suffix == "heic" else {}))
    turned = {1: False, 2: False, 4: False}.get(orientation, True)
    assert (b"irot" in (tmp_path / f"a.{suffix}").read_bytes()) is turned, "beside EXIF's orientation, as phones do"
    upright = turn(PHOTO, orientation)
    assert read_image(path).shape == upright.shape
    assert np.abs(read_image(path).astype(int) - upright).mean() < 4
    assert read_header(path).upright == upright.shape[:2]


def test_the_camera_of_a_phone_is_known(tmp_path):
    path = save(tmp_path / "a.heic", 6)
    header = read_header(path)
    assert header.size == (64, 48)
    fx, _, why = read_focal(path, header)
    assert fx == pytest.approx(28 / 43.2666 * 80, rel=1e-3)
    assert "28 mm" in why


def test_ten_bits_and_grey_and_several(tmp_path, caplog):
    deep = PHOTO.astype(np.uint16) * 257
    pillow_heif.from_bytes("RGB;16", PHOTO.shape[1::-1], deep.tobytes()).save(tmp_path / "deep.heic", quality=100)
    Image.fromarray(PHOTO).convert("L").save(tmp_path / "grey.heif", "HEIF")
    first, second = Image.fromarray(PHOTO), Image.fromarray(255 - PHOTO)
    first.save(tmp_path / "burst.HEIC", save_all=True, append_images=[second])
    for name in ("deep.heic", "grey.heif", "burst.HEIC"):
        image = read_image(str(tmp_path / name))
        truth = PHOTO if name != "grey.heif" else np.array(first.convert("L").convert("RGB"))
        assert np.abs(image.astype(int) - truth).mean() < 6, name
    assert "burst.HEIC holds 2 pictures: the first is taken" in caplog.text


def test_without_the_decoder_the_extra_is_named(tmp_path, monkeypatch, caplog):
    save(tmp_path / "a.heic")
    save(tmp_path / "b.jpg")
    (tmp_path / "c.jpg").write_bytes((tmp_path / "a.heic").read_bytes())
    monkeypatch.setattr(heif, "_register", lambda: False)
    monkeypatch.delitem(Image.OPEN, "HEIF")
    for name in ("a.heic", "c.jpg"):
        with pytest.raises(
            InputError, match=rf"{name} is not a picture that can be read: pip install 'tr2m_plugin\[heic\]'"
        ):
            read_image(str(tmp_path / name))
    assert [path.name for path in list_pictures(tmp_path)] == ["b.jpg", "c.jpg"]
    assert "left out: 1 .heic (pip install 'tr2m_plugin[heic]'" in caplog.text
    save(tmp_path / "d.avif")
    monkeypatch.setattr(heif, "_knows_avif", lambda: False)
    monkeypatch.delitem(Image.OPEN, "AVIF")
    with pytest.raises(InputError, match=r"d.avif is not a picture that can be read: it needs Pillow 11.3"):
        read_image(str(tmp_path / "d.avif"))


@pytest.mark.parametrize("suffix", ["heic", "avif", "gif", "webp"])
def test_what_is_cut_off_or_too_large_is_refused(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"a.{suffix}"
    save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(InputError, match=rf"a.{suffix} (is damaged|is not a picture)"):
        read_image(str(path))
    path.write_bytes(content)
    monkeypatch.setenv("TR2M_MAX_PIXELS", "1000")
    with pytest.raises(InputError, match=r"has 64 × 48 pixels, more than 1,000: .* set TR2M_MAX_PIXELS"):
        read_image(str(path))


def test_lossy_depth_is_refused(tmp_path):
    for suffix in ("heic", "avif"):
        path = save(tmp_path / f"d.{suffix}", pixels=PHOTO[..., 0])
        with pytest.raises(InputError, match=rf"d.{suffix} is not a depth map"):
            read_depth(path)


def with_tag(content, tag, value):
    """A little-endian TIFF of Pillow's with another number in one of its tags."""
    start = struct.unpack("<I", content[4:8])[0]
    for entry in range(start + 2, start + 2 + 12 * struct.unpack("<H", content[start : start + 2])[0], 12):
        if struct.unpack("<H", content[entry : entry + 2])[0] == tag:
            return content[: entry + 8] + struct.pack("<HH", value, 0) + content[entry + 12 :]
    raise KeyError(tag)


@pytest.mark.parametrize("compression", [34712, 50002, 34887])
def test_a_tiff_that_decoders_would_make_noise_of_is_refused(tmp_path, compression):
    path = tmp_path / "a.tif"
    for pixels, read, kind in ((PHOTO, read_image, "picture"), (PHOTO[..., 0], read_depth, "depth map")):
        Image.fromarray(pixels).save(path)
        path.write_bytes(with_tag(path.read_bytes(), 259, compression))
        with pytest.raises(InputError, match=rf"a.tif is not a {kind} that can be read: its compression .* is a rare"):
            read(str(path))


def test_floats_are_shares_of_white(tmp_path):
    path = str(tmp_path / "a.tif")
    cv2.imwrite(path, (PHOTO[..., ::-1] / 255).astype(np.float32))
    np.testing.assert_array_equal(read_image(path), PHOTO)
    cv2.imwrite(path, (PHOTO / 100).astype(np.float32))
    with pytest.raises(InputError, match=r"a.tif is a picture of float32 beyond 0..1: convert it to 8 bits"):
        read_image(path)


MODES = ["RGB", "L", "CMYK", "YCbCr", "P", "1", "RGBA"]
KINDS = [*((mode, kind) for mode in MODES for kind in (None, "zstd", "lzma")), ("RGB", "jpeg"), ("L", "jpeg")]


@pytest.mark.parametrize(("mode", "compression"), KINDS)
def test_tiff_of_every_kind_is_read_as_pillow_does(tmp_path, mode, compression):
    Image.fromarray(PHOTO).convert(mode).save(tmp_path / "a.tif", compression=compression)
    try:
        with Image.open(tmp_path / "a.tif") as opened:
            expected = np.array(opened.convert("RGB")).astype(int)
    except OSError:
        pytest.skip("this Pillow does not read what it wrote")
    assert np.abs(read_image(str(tmp_path / "a.tif")) - expected).max() <= 1


def test_a_name_says_nothing(tmp_path):
    for name, kind in (("a.png", "JPEG"), ("b.jpg", "PNG"), ("c d é.JPG", "WEBP"), ("e", "TIFF"), ("f.jpg", "HEIF")):
        Image.fromarray(PHOTO).save(tmp_path / name, kind)
    found = list_pictures(tmp_path)
    assert [path.name for path in found] == ["a.png", "b.jpg", "c d é.JPG", "e", "f.jpg"]
    for path in found:
        assert np.abs(read_image(str(path)).astype(int) - PHOTO).mean() < 8, path
