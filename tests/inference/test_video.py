import itertools

import av
import h5py
import numpy as np
import pytest

from tests.support.clips import SIZE, encode
from tr2m_plugin import TR2MInferencer
from tr2m_plugin.datasets.videos import Clip
from tr2m_plugin.errors import InputError
from tr2m_plugin.inference.video import predict_video

TEXT = "A small kitchen with a table."


@pytest.fixture(scope="module")
def inferencer(trained):
    return TR2MInferencer(trained / "model", device="cpu", show_progress=False)


@pytest.fixture
def predict(inferencer, tmp_path):
    def run(path, sentence=TEXT, **options):
        return predict_video(
            inferencer.stream, Clip(path), sentence, tmp_path / "out" / "clip", show_progress=False, **options
        )

    return run


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_depth_of_all_frames_is_in_one_file(predict, inferencer, tmp_path):
    times = [0.0, 0.1, 0.3, 0.35, 0.6]
    path = encode(tmp_path / "a.mkv", count=5, times=times)
    made = predict(path, batch_size=3, dtype="float32")
    assert names(tmp_path / "out") == ["clip.h5", "clip_color.mp4"]
    expected = inferencer([frame.image for frame in Clip(path).frames()], TEXT)
    with h5py.File(made.depth) as file:
        np.testing.assert_allclose(file["depth"], [found.depth for found in expected], rtol=1e-3)
        assert (file["depth"].chunks, file["depth"].dtype) == ((1, *SIZE), np.float32)
        np.testing.assert_allclose(file["time"], times, atol=2e-3)
        assert file["text"].asstr()[:].tolist() == [TEXT] * 5
        assert file["factor"][:].tolist() == [1] * 5
        facts = dict(file.attrs)
        assert file["depth"].attrs["unit"] == facts["unit"] == "m"
    assert (facts["model"], facts["text"], facts["frames"], facts["complete"]) == ("model", TEXT, 5, True)
    assert facts["video"] == str(path)
    all_depth = np.stack([found.depth[::4, ::4] for found in expected])
    np.testing.assert_allclose(facts["color_range"], np.percentile(all_depth, [2, 98]), rtol=0.02)
    assert (made.near, made.far) == tuple(facts["color_range"])
    with av.open(str(made.color)) as container:
        frames = list(container.decode(video=0))
    assert [frame.time for frame in frames] == pytest.approx(times, abs=2e-3)
    assert (frames[0].height, frames[0].width) == (360, 590)


def test_float16_is_the_default_and_is_as_near_as_it_says(predict, tmp_path):
    path = encode(tmp_path / "a.mp4", count=3)
    with h5py.File(predict(path).depth) as file:
        half = file["depth"][:]
    with h5py.File(predict(path, dtype="float32").depth) as file:
        np.testing.assert_allclose(half, file["depth"], rtol=5e-4)
    assert half.dtype == np.float16
    with pytest.raises(InputError, match="float16 or float32, not 'int8'"):
        predict(path, dtype="int8")


def test_sentences_may_change_but_not_the_unit(predict, tmp_path):
    path = encode(tmp_path / "a.mp4", count=6)
    said = predict(
        path, lambda frame: TEXT if frame.seconds < 0.25 else "An endoscopic view of the cecum.", batch_size=2
    )
    with h5py.File(said.depth) as file:
        texts, depth = file["text"].asstr()[:], file["depth"][:]
        assert file.attrs["unit"] == "m"
    assert [text == TEXT for text in texts] == [True] * 3 + [False] * 3
    with h5py.File(predict(path).depth) as file:
        np.testing.assert_allclose(depth[:3], file["depth"][:3], rtol=2e-3)
        assert not np.allclose(depth[3:], file["depth"][3:], rtol=0.01)


def test_a_steady_scale_is_a_factor(predict, tmp_path):
    path = encode(tmp_path / "a.mp4", count=6)
    with h5py.File(predict(path, dtype="float32").depth) as file:
        plain = file["depth"][:]
    with h5py.File(predict(path, dtype="float32", steady=0.5).depth) as file:
        held, factors = file["depth"][:], file["factor"][:]
        assert file.attrs["steady"] == 0.5
    np.testing.assert_allclose(held, plain * factors[:, None, None], rtol=1e-5)
    assert factors[0] == 1
    assert (factors[1:] != 1).all()


def test_what_was_there_before_a_break_is_kept(predict, tmp_path):
    noise = list(np.random.default_rng(0).integers(0, 255, (20, *SIZE, 3), np.uint8))
    whole = encode(tmp_path / "a.mkv", images=noise).read_bytes()
    path = tmp_path / "cut.mkv"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut.mkv is cut off: .*; .*clip.h5 holds the \d+ frames before that"):
        predict(path, batch_size=4)
    with h5py.File(tmp_path / "out" / "clip.h5") as file:
        assert len(file["depth"]) == len(file["time"]) == file.attrs["frames"] > 3
        assert not file.attrs["complete"]
    assert names(tmp_path / "out") == ["clip.h5", "clip_color.mp4"]


def test_an_interruption_leaves_what_is_done_and_a_failure_at_once_leaves_nothing(predict, inferencer, tmp_path):
    path = encode(tmp_path / "a.mp4")

    def interrupted(*arguments, **options):
        yield from itertools.islice(inferencer.stream(*arguments, **options), 4)
        raise KeyboardInterrupt

    base = tmp_path / "out" / "clip"
    with pytest.raises(InputError, match="the text is empty"):
        predict(path, " ")
    assert names(base.parent) == []
    with pytest.raises(KeyboardInterrupt):
        predict_video(interrupted, Clip(path), TEXT, base, show_progress=False)
    with h5py.File(base.with_name("clip.h5")) as file:
        assert (len(file["depth"]), file.attrs["complete"]) == (4, False)
    predict(path)
    with h5py.File(base.with_name("clip.h5")) as file:
        assert (len(file["depth"]), file.attrs["complete"]) == (12, True)


def test_what_is_not_of_this_video_stays(predict, tmp_path):
    path = encode(tmp_path / "a.mp4", count=2)
    predict(path)
    other = encode(tmp_path / "b.mp4", count=2)
    with pytest.raises(InputError, match=r"clip.h5 is there already and is not of a prediction of this video"):
        predict(other)
    path.unlink()
    predict(other)
    color = tmp_path / "out" / "clip_color.mp4"
    encode(color, count=2)
    content = color.read_bytes()
    with pytest.raises(InputError, match=r"clip_color.mp4 is there already"):
        predict(other)
    assert color.read_bytes() == content
