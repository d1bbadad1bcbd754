import io
import logging
import os
import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from tr2m_plugin.datasets.arrays import read_depth, read_image
from tr2m_plugin.errors import InputError


def photo(height=120, width=160):
    """A picture with edges and noise."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices((height, width))
    base = np.stack([rows * 2, columns, (rows // 10 + columns // 10) % 2 * 200], -1)
    return np.clip(base + rng.integers(-20, 20, base.shape), 0, 255).astype(np.uint8)


def encoded(pixels, kind="JPEG", **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


@pytest.fixture
def read(tmp_path):
    def run(content, name="x.jpg", **options):
        (tmp_path / name).write_bytes(content)
        return read_image(str(tmp_path / name), **options)

    return run


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"subsampling": 0}, {"progressive": True}])
def test_a_jpeg_whose_data_end_before_its_pixels_is_damaged(read, options):
    content = encoded(photo(), quality=90, **options)
    expected = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(read(content), expected[..., ::-1])
    half = len(content) // 2
    noise = np.random.default_rng(0).bytes(2000)
    damaged = [content[:half] + content[half + 1000 :], content[:half] + noise + content[half + 2000 :]]
    if "optimize" not in options:  # for which zeros may by chance be as many pixels as were lost
        damaged.append(content[:half] + bytes(2000) + content[half + 2000 :])
    if "progressive" in options:  # only its first scan leaves grey, the others make a picture finer
        damaged = [content[: content.find(b"\xff\xda") + 100] + b"\xff\xd9"]
    for broken in damaged:
        with pytest.raises(InputError, match=r"x.jpg is damaged \(its (data|pixels) .*\): copy or download it"):
            read(broken)


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"progressive": True}])
@pytest.mark.parametrize("value", [128, 0, 255])
def test_plain_parts_are_not_damage(read, options, value):
    pixels = np.tile(photo(), (4, 4, 1))
    pixels[60:] = value
    for padding in (b"", bytes(100)):
        content = encoded(pixels, **options)
        assert (read(content[:-2] + padding + content[-2:])[-1] == value).all()
    assert (read(encoded(pixels[..., 0], **options))[-1] == value).all()
    pixels[:] = value
    assert (read(encoded(pixels, **options)) == value).all()


def test_damage_that_opencv_reads_over_is_found(read, monkeypatch):
    content = encoded(photo(), "TIFF", compression="tiff_lzw")
    broken = content[: len(content) // 2] + bytes(500) + content[len(content) // 2 + 500 :]
    with pytest.raises(InputError, match=r"x.tif is (damaged|not a picture)"):
        read(broken, "x.tif")
    content = encoded(photo(), "PNG")
    # some versions of OpenCV decode the beginning
    monkeypatch.setattr(cv2, "imdecode", lambda *_: photo())
    with pytest.raises(InputError, match=r"x.png is damaged"):
        read(content[: len(content) // 2], "x.png")


@pytest.mark.parametrize(
    ("mode", "kind"), [("1", "PNG"), ("L", "JPEG"), ("P", "PNG"), ("LA", "PNG"), ("RGBA", "PNG"), ("CMYK", "JPEG")]
)
def test_every_kind_of_8_bits_is_read_as_pillow_does(read, mode, kind):
    picture = Image.fromarray(photo()).convert(mode)
    file = io.BytesIO()
    picture.save(file, kind)
    expected = np.array(Image.open(file).convert("RGB")).astype(int)
    assert np.abs(read(file.getvalue(), f"x.{kind.lower()}") - expected).max() <= 1


@pytest.mark.parametrize("suffix", [".ppm", ".pgm", ".jfif", ".dib", ".jp2"])
def test_further_formats_of_opencv(tmp_path, suffix):
    pixels = photo()[..., 0] if suffix == ".pgm" else photo()
    known = {".jfif": ".jpg", ".dib": ".bmp"}.get(suffix, suffix)
    (tmp_path / f"a{suffix}").write_bytes(cv2.imencode(known, pixels)[1].tobytes())
    assert read_image(str(tmp_path / f"a{suffix}")).shape == (120, 160, 3)


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".ppm"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_fewer_bits_in_16_are_as_bright_as_8(tmp_path, suffix, bits):
    deep = np.round(photo().astype(float) * (2**bits - 1) / 255).astype(np.uint16)
    deep[0, 0] = 2**bits - 1
    path = str(tmp_path / f"a{suffix}")
    cv2.imwrite(path, deep[..., ::-1])
    np.testing.assert_array_equal(read_image(path)[1:], photo()[1:])
    assert read_image(path, bits=16).max() <= 2**bits // 256, "of the whole range"


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".ppm"])
def test_16_bits_are_brought_to_8_as_opencv_does(tmp_path, suffix):
    deep = np.random.default_rng(0).integers(0, 2**16, (30, 40, 3)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / f"a{suffix}"), deep)
    expected = cv2.imread(str(tmp_path / f"a{suffix}"))[..., ::-1]
    np.testing.assert_array_equal(read_image(str(tmp_path / f"a{suffix}")), expected)


def png_chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def test_the_file_says_how_many_bits_count(tmp_path):
    dark = np.full((4, 4, 3), 900, np.uint16)  # 10 bits would do
    for value, said, expected in ((900, 12, 56), (900, 16, 3), (5000, 12, 19)):
        content = cv2.imencode(".png", np.full_like(dark, value))[1].tobytes()
        place = content.find(b"IDAT") - 4
        (tmp_path / "a.png").write_bytes(content[:place] + png_chunk(b"sBIT", bytes([said] * 3)) + content[place:])
        assert read_image(str(tmp_path / "a.png"))[0, 0].tolist() == [expected] * 3, (value, said)
    deep = Image.fromarray(dark[..., 0])
    deep.save(tmp_path / "a.tiff", tiffinfo={281: 4095})
    assert read_image(str(tmp_path / "a.tiff"), one_channel=True)[0, 0, 0] == 56


def test_a_depth_map_is_no_picture(tmp_path):
    cv2.imwrite(str(tmp_path / "d.png"), np.full((4, 5), 1500, np.uint16))
    cv2.imwrite(str(tmp_path / "d.tiff"), np.full((4, 5), 1.5, np.float32))
    for name in ("d.png", "d.tiff"):
        with pytest.raises(InputError, match=rf"{name} looks like a depth map \(more than 8 bits in one channel\)"):
            read_image(str(tmp_path / name))
    assert read_image(str(tmp_path / "d.png"), one_channel=True).shape == (4, 5, 3)
    np.testing.assert_array_equal(read_depth(str(tmp_path / "d.tiff")), np.full((4, 5), 1.5, np.float32))


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int32, np.uint16, np.uint8])
def test_depth_in_tiff_of_any_numbers(tmp_path, kind):
    depth = np.arange(1, 21).reshape(4, 5).astype(kind)
    cv2.imwrite(str(tmp_path / "d.tiff"), depth)
    np.testing.assert_array_equal(read_depth(str(tmp_path / "d.tiff")), depth)
    if kind != np.uint8:
        with pytest.raises(InputError, match=r"d.tiff looks like a depth map"):
            read_image(str(tmp_path / "d.tiff"))


def png_that_claims(width, height):
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(bytes(1000))) + png_chunk(b"IEND", b"")


def jpeg_that_claims(width, height):
    content = encoded(photo())
    place = content.find(b"\xff\xc0")
    return content[: place + 5] + struct.pack(">HH", height, width) + content[place + 9 :]


@pytest.mark.parametrize(("claim", "name"), [(png_that_claims, "x.png"), (jpeg_that_claims, "x.jpg")])
def test_what_claims_too_much_is_refused_before_it_is_decoded(read, tmp_path, claim, name):
    tracemalloc.start()
    for size, reason in (
        ((15000, 15000), "has 15000 × 15000 pixels, more than 120,000,000"),
        ((20000, 20000), "has more than 240,000,000 pixels"),
        ((20, 2000), "a side is more than 50 times the other"),
    ):
        with pytest.raises(InputError, match=rf"{name} .*{reason}"):
            read(claim(*size), name)
        with pytest.raises(InputError, match=rf"{name} .*{reason}"):
            read_depth(str(tmp_path / name))
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_the_limit_can_be_raised(read, monkeypatch):
    monkeypatch.setenv("TR2M_MAX_PIXELS", "10000")
    with pytest.raises(InputError, match="160 × 120 pixels, more than 10,000: make it smaller, or set TR2M_MAX_PIXELS"):
        read(encoded(photo()))
    monkeypatch.setenv("TR2M_MAX_PIXELS", "19200")
    assert read(encoded(photo())).shape == (120, 160, 3)


def test_of_several_frames_the_first_is_taken_and_it_is_said(tmp_path, caplog):
    frames = [Image.fromarray(np.full((20, 30, 3), value, np.uint8)) for value in (50, 200)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    with caplog.at_level(logging.WARNING):
        assert (read_image(str(tmp_path / "a.webp")) == 50).all()
    assert "a.webp holds 2 pictures: the first is taken" in caplog.text


def test_what_is_not_read_comes_with_a_hint(tmp_path):
    for name, content, hint in (
        ("a.dng", b"II*\0", "convert it to JPEG"),
        ("a.mp4", b"\0\0\0\x18ftypisom", "a video: predict it by itself"),
        ("a.jpg", b"\0\0\0\x18ftypisom", "is it damaged, or a video"),
        ("a.heic", b"\0\0\0\x18ftypheic", "is it damaged, or a video"),
        ("b.jpg", b"", "it is empty"),
        ("c.jpg", b"<!DOCTYPE html>", "it is text and begins with '<!DOCTYPE html>'"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=rf"{name} is not a picture that can be read: {hint}"):
            read_image(str(tmp_path / name))


def test_pipes_and_devices_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    os.symlink("/dev/zero", tmp_path / "b.png")
    os.mkfifo(tmp_path / "a.npy")
    for name in ("a.png", "b.png"):
        with pytest.raises(InputError, match=rf"{name} is no file but a pipe, a socket or a device"):
            read_image(str(tmp_path / name))
    with pytest.raises(InputError, match=r"a.npy is no file but a pipe"):
        read_depth(str(tmp_path / "a.npy"))
