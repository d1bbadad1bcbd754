import io
import logging

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.support.icc import SRGB, grey_profile, ink_profile, rgb_profile, srgb_of
from tr2m_plugin.datasets.arrays import read_image
from tr2m_plugin.datasets.colors import over_white, to_rgb, to_srgb
from tr2m_plugin.warn import warn_once

pytest.importorskip("pillow_heif").register_heif_opener()
PHOTO = cv2.resize(np.random.default_rng(0).integers(0, 255, (6, 8, 3)).astype(np.uint8), (64, 48))
STANDARD = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture
def written(tmp_path):
    def write(pixels, kind="PNG", mode=None, **options):
        picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
        path = tmp_path / f"a.{kind.lower()}"
        (picture.convert(mode) if mode else picture).save(path, kind, **options)
        return str(path)

    return write


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {"quality": 90}), ("JPEG", {"progressive": True}), ("PNG", {})])
@pytest.mark.parametrize("profile", [None, STANDARD, grey_profile(1.0), b"no profile"])
def test_plain_pictures_keep_their_pixels_to_the_last_bit(written, kind, options, profile):
    path = written(PHOTO, kind, icc_profile=profile, **options)
    np.testing.assert_array_equal(read_image(path), cv2.imread(path, cv2.IMREAD_COLOR)[..., ::-1])


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "HEIF", "AVIF"])
def test_wide_colours_become_srgb(written, kind):
    options = {"WEBP": {"lossless": True}, "HEIF": {"quality": -1, "chroma": 444}, "AVIF": {"quality": 100}}
    path = written(PHOTO, kind, icc_profile=rgb_profile(), **options.get(kind, {}))
    error = np.abs(read_image(path) - srgb_of(PHOTO))
    assert error.max() <= 2 if kind in ("PNG", "TIFF", "WEBP") else error.mean() < 3
    assert np.abs(PHOTO - srgb_of(PHOTO)).mean() > 6, "which is not what is stored"
    stored = read_image(path, raw=True)
    assert np.abs(stored.astype(int) - PHOTO).mean() < 3 or kind in ("HEIF", "AVIF")


def test_a_picture_of_many_rows_is_converted_in_parts(monkeypatch):
    whole = to_srgb(PHOTO, rgb_profile(), "a")
    monkeypatch.setattr("tr2m_plugin.datasets.colors.STRIP", 300)
    np.testing.assert_array_equal(to_srgb(PHOTO, rgb_profile(), "a"), whole)


def test_grey_with_a_profile_of_its_own(written):
    ramp = np.tile(np.arange(256, dtype=np.uint8), (16, 1))
    read = read_image(written(ramp, icc_profile=grey_profile(1.0)))
    expected = srgb_of(np.repeat(ramp[..., None], 3, -1), SRGB, 1.0)
    assert np.abs(read - expected).max() <= 2


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_inks_with_and_without_a_profile(written, kind):
    inks = np.zeros((16, 64, 4), np.uint8)
    inks[..., 0], inks[..., 3] = 255, np.arange(0, 256, 4)
    picture = Image.fromarray(inks, "CMYK")
    options = {"quality": 100} if kind == "JPEG" else {}
    by_profile = read_image(written(picture, kind, icc_profile=ink_profile(), **options))
    assert np.abs(by_profile[0, 0] - np.array([255, 255, 255])).max() <= 2, "cyan is invisible in this one"
    assert by_profile[0, -1].max() < 20
    plain = read_image(written(picture, kind, **options))
    assert np.abs(plain[0, 0] - np.array([0, 255, 255])).max() <= 2


def test_lab_is_read_as_its_colours(written):
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    path = written(ImageCms.applyTransform(Image.fromarray(PHOTO), to_lab), "TIFF")
    assert np.abs(read_image(path).astype(int) - PHOTO).mean() < 1


def test_a_broken_profile_is_said_once_and_passed_over(written, caplog):
    warn_once.cache_clear()
    path = written(PHOTO, icc_profile=rgb_profile()[:200])
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            np.testing.assert_array_equal(read_image(path), PHOTO)
    (message,) = caplog.messages
    assert "a.png: its colour profile cannot be read" in message


def half_clear(opaque=255):
    alpha = np.full(PHOTO.shape[:2], opaque, np.uint8)
    alpha[:, :20], alpha[:, 20:40] = 0, 100
    share = alpha[..., None] / 255
    return alpha, np.round(PHOTO * share + 255 * (1 - share))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "HEIF", "AVIF"])
def test_what_is_transparent_shows_white(written, kind):
    alpha, expected = half_clear()
    options = {"WEBP": {"lossless": True, "exact": True}, "HEIF": {"quality": -1}, "AVIF": {"quality": 100}}
    path = written(np.dstack([PHOTO, alpha]), kind, **options.get(kind, {}))
    error = np.abs(read_image(path) - expected)
    assert error.max() == 0 if kind in ("PNG", "WEBP", "TIFF") else error.mean() < 3
    assert (read_image(path)[:, :20] == 255).all()


def test_transparent_palettes_greys_and_16_bits(written, tmp_path):
    alpha, expected = half_clear()
    grey = Image.fromarray(PHOTO).convert("L")
    found = read_image(written(Image.merge("LA", [grey, Image.fromarray(alpha)])))
    np.testing.assert_array_equal(found, over_white(np.dstack([np.array(grey)] * 3), alpha))
    cv2.imwrite(str(tmp_path / "deep.png"), np.dstack([PHOTO[..., ::-1], alpha]).astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_image(str(tmp_path / "deep.png")), expected)
    palette = Image.fromarray((np.indices((8, 8)).sum(0) % 2).astype(np.uint8), "P")
    palette.putpalette([10, 20, 30, 40, 50, 60])
    for kind in ("PNG", "GIF"):
        found = read_image(written(palette, kind, transparency=1))
        assert found[0, 0].tolist() == [10, 20, 30], kind
        assert found[0, 1].tolist() == [255, 255, 255], kind


def test_pictures_in_memory_are_seen_as_files_are(written):
    alpha, _ = half_clear()
    picture = Image.fromarray(np.dstack([PHOTO, alpha]))
    picture.info["icc_profile"] = rgb_profile()
    file = io.BytesIO()
    picture.save(file, "PNG", icc_profile=rgb_profile())
    with Image.open(file) as opened:
        np.testing.assert_array_equal(to_rgb(opened), to_rgb(picture))
    np.testing.assert_array_equal(to_rgb(picture), read_image(written(picture, icc_profile=rgb_profile())))
