import sys

import cv2
import numpy as np
import pytest

from tests.support.clips import SIZE, encode, encode_sound, picture
from tr2m_plugin.datasets.videos import Clip, is_video
from tr2m_plugin.errors import InputError, MissingExtraError


def drain(frames, found):
    for frame in frames:
        found.append(frame)


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [
        ("a.mp4", "libx264", "yuv420p"),
        ("a.mkv", "libx264", "yuv444p"),
        ("a.avi", "mpeg4", "yuv420p"),
        ("a.webm", "libvpx-vp9", "yuv420p"),
        ("a.mov", "mjpeg", "yuvj420p"),
    ],
)
def test_frames_and_times_of_common_formats(tmp_path, name, codec, pixels):
    clip = Clip(encode(tmp_path / name, codec, pixels=pixels))
    frames = list(clip.frames())
    assert (clip.fps, clip.count, len(frames)) == (10, 12, 12)
    assert [frame.seconds for frame in frames] == pytest.approx([number / 10 for number in range(12)], abs=2e-3)
    for number, frame in enumerate(frames):
        assert frame.image.shape == (*SIZE, 3)
        assert np.abs(frame.image[20:, 20:].astype(int) - picture(number, 12)[20:, 20:]).mean() < 4
        assert frame.image[6, 6, 0] > 200 > 60 > frame.image[6, 6, 1]


@pytest.mark.parametrize("turned", [90, -90, 180])
def test_frames_are_turned_as_the_file_says(tmp_path, turned):
    path = encode(tmp_path / "phone.mp4", turned=turned)
    image = next(Clip(path).frames()).image
    assert image.shape[:2] == (SIZE if turned == 180 else SIZE[::-1])
    row, column = {90: (-6, 6), -90: (6, -6), 180: (-6, -6)}[turned]
    assert image[row, column, 0] > 200 > image[row, column, 1]
    done, other = cv2.VideoCapture(str(path)).read()
    assert done
    assert np.abs(image.astype(int) - other[..., ::-1]).max() <= 2


def test_times_of_a_variable_frame_rate(tmp_path):
    times = [0.0, 0.1, 0.15, 0.5, 0.9, 1.0]
    path = encode(tmp_path / "a.mkv", count=6, times=[1 + time for time in times])
    assert [frame.seconds for frame in Clip(path).frames()] == pytest.approx(times, abs=2e-3)


def test_what_was_decoded_before_the_end_comes_first(tmp_path):
    noise = list(np.random.default_rng(0).integers(0, 255, (30, *SIZE, 3), np.uint8))
    whole = encode(tmp_path / "a.mkv", images=noise).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    found = []
    with pytest.raises(InputError, match=r"cut.mkv is cut off: \d+ frames could be decoded, until \d.\d\d s of 3.00 s"):
        drain(Clip(tmp_path / "cut.mkv").frames(), found)
    assert 3 < len(found) < 27
    content = bytearray(encode(tmp_path / "a.mp4", images=noise).read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    (tmp_path / "bad.mp4").write_bytes(content)
    found = []
    with pytest.raises(InputError, match=r"bad.mp4 is damaged: \d+ frames could be decoded"):
        drain(Clip(tmp_path / "bad.mp4").frames(), found)
    assert 10 < len(found) < 30


def test_what_is_no_video_is_said(tmp_path):
    whole = encode(tmp_path / "a.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "list.mp4").write_text(f"#EXTM3U\n#EXTINF:10,\n{tmp_path / 'a.mp4'}\n#EXT-X-ENDLIST\n")
    for name in ("cut.mp4", "empty.mp4", "list.mp4"):
        with pytest.raises(InputError, match=f"{name} is cut off, or no video that FFmpeg can read"):
            Clip(tmp_path / name)
    with pytest.raises(InputError, match=r"sound.m4v holds no pictures, only sound"):
        Clip(encode_sound(tmp_path / "sound.m4v"))
    with pytest.raises(InputError, match=r"nowhere.mp4 does not exist"):
        Clip(tmp_path / "nowhere.mp4")


def test_large_frames_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("TR2M_MAX_PIXELS", "1000")
    with pytest.raises(InputError, match="64 × 48 pixels, more than 1,000"):
        Clip(encode(tmp_path / "a.mp4"))


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    path = encode(tmp_path / "a.mp4")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"av is not installed; .* pip install 'tr2m_plugin\[video\]'"):
        Clip(path)


def test_videos_by_their_names(tmp_path):
    for name in ("a.MP4", "b.gif", "c.jpg"):
        (tmp_path / name).touch()
    assert [is_video(tmp_path / name) for name in ("a.MP4", "b.gif", "c.jpg", "d.mp4")] == [True, False, False, False]
