"""With tr2m_mini, and with the float64 standard deviation of predictions that are made one by one."""

import cv2
import numpy as np
import pytest

from tr2m_plugin import TR2MInferencer
from tr2m_plugin.errors import InputError
from tr2m_plugin.inference.confidence import MOST, PARAPHRASES, Confidence
from tr2m_plugin.tensors import resize_prediction
from tr2m_plugin.units import find_unit

TEXT, OTHERS = "A small kitchen with a table.", ["A room with furniture.", "A dolls' house kitchen with a toy table."]
COLON = "An endoscopic view of the colon."


@pytest.fixture(scope="module")
def inferencer():
    return TR2MInferencer(device="cpu", show_progress=False)


def picture(seed, size=(60, 80)):
    """Something with shapes in it."""
    rng = np.random.default_rng(seed)
    image = np.full((*size, 3), 200, np.uint8)
    for _ in range(8):
        at, to = (tuple(int(v) for v in rng.integers(0, size[::-1])) for _ in range(2))
        cv2.rectangle(image, at, to, [int(v) for v in rng.integers(0, 255, 3)], -1)
    return image


def slow_spread(inferencer, image, texts):
    """Standard deviation and that of the medians, by eq. 3 of each prediction alone, in metres."""
    logs = []
    for text in texts:
        for mirrored in (False, True):
            (found,) = inferencer(np.ascontiguousarray(image[:, ::-1]) if mirrored else image, text)
            maps = [array.astype(np.float64) for array in (found.scale, found.relative, found.shift)]
            depth = 1 / (maps[0] * maps[1] + maps[2])
            depth = depth / 1000 if found.unit == "mm" else depth
            logs.append(np.log(depth[:, ::-1] if mirrored else depth))
    return resize_prediction(np.std(logs, axis=0), image.shape[:2]), np.std([np.median(one) for one in logs])


@pytest.mark.parametrize("others", [OTHERS, OTHERS[:1], True, [COLON]])
def test_it_is_the_standard_deviation_of_log_depth(inferencer, others):
    image = picture(0)
    (found,) = inferencer(image, TEXT, confidence=others)
    texts = [TEXT, *(others if others is not True else [form.format(TEXT) for form in PARAPHRASES])]
    values, common = slow_spread(inferencer, image, texts)
    assert found.confidence.texts == tuple(texts)
    assert found.confidence.values.dtype == np.float32
    assert found.confidence.values.shape == image.shape[:2]
    np.testing.assert_allclose(found.confidence.values, values, rtol=1e-3, atol=1e-5)
    assert found.confidence.common == pytest.approx(common, rel=1e-3)
    assert values.min() > 0.001, "or nothing is tested"
    if others == [COLON]:
        assert common > 1, "millimetres beside metres"


def test_depth_stays_what_it_is(inferencer):
    images, texts = [picture(seed, (40 + 9 * seed, 70)) for seed in range(3)], [TEXT, COLON, OTHERS[0]]
    plain = inferencer(images, texts)
    for confidence in (True, OTHERS):
        for one, other in zip(plain, inferencer(images, texts, confidence=confidence), strict=True):
            assert one.confidence is None
            for name in ("depth", "scale", "shift", "relative"):
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
            assert (one.text, one.unit) == (other.text, other.unit)


def test_a_batch_is_its_pictures(inferencer, tmp_path):
    """Also where they have different numbers of sentences."""
    for number, lines in enumerate(([TEXT, *OTHERS], [OTHERS[1], TEXT], [COLON])):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture(number))
        (tmp_path / f"{number}.txt").write_text("\n".join(lines))
    together = inferencer(tmp_path, confidence=True)
    assert [len(found.confidence.texts) for found in together] == [3, 2, 1 + len(PARAPHRASES)]
    for found, alone in zip(together, inferencer(tmp_path, confidence=True, batch_size=1), strict=True):
        assert found.confidence.texts == alone.confidence.texts
        np.testing.assert_allclose(found.confidence.values, alone.confidence.values, rtol=1e-3, atol=1e-5)


def test_the_mirror_image_has_the_mirrored_spread(inferencer):
    image = picture(3)
    (found,), (other,) = (inferencer(one, TEXT, confidence=OTHERS) for one in (image, image[:, ::-1].copy()))
    np.testing.assert_allclose(other.confidence.values[:, ::-1], found.confidence.values, rtol=1e-3, atol=1e-5)


def test_frozen_networks_run_twice_and_not_for_each_sentence(inferencer, monkeypatch):
    ran = {"image_encoder": 0, "relative_depth": 0, "rescale_net": 0}

    def counting(name):
        def count(*_):
            ran[name] += 1

        return count

    networks = [inferencer.model.image_encoder, inferencer.relative_depth, inferencer.model.rescale_net]
    handles = [net.register_forward_hook(counting(name)) for name, net in zip(ran, networks, strict=True)]
    embedded = []
    encoder = inferencer.text_encoder.forward
    monkeypatch.setattr(inferencer.text_encoder, "forward", lambda texts: embedded.extend(texts) or encoder(texts))
    new = "A kitchen that nobody has described before."
    inferencer([picture(seed) for seed in range(4)], new, confidence=OTHERS, batch_size=2)
    for handle in handles:
        handle.remove()
    assert ran == {"image_encoder": 2 * 2, "relative_depth": 2 * 2, "rescale_net": 2 * 2 * 3}
    assert sorted(embedded) == sorted([new, *OTHERS]), "each sentence once"


def test_the_spread_knows_no_unit_and_no_anchors(inferencer):
    image = picture(1)
    (found,), (other,) = (inferencer(image, TEXT, confidence=OTHERS, unit=unit) for unit in ("m", "mm"))
    (brought,) = inferencer(image, TEXT, confidence=OTHERS, anchors=np.array([[5.0, 5, 3]]))
    assert brought.depth[5, 5] == pytest.approx(3, rel=1e-4)
    for one in (other, brought):
        np.testing.assert_array_equal(one.confidence.values, found.confidence.values)


def test_sentences_are_those_given_or_beside_or_made(tmp_path):
    file = tmp_path / "a_rgb.png"
    (tmp_path / "a.txt").write_text(f"{TEXT}\n\n 0 0.5 0.5 \n{OTHERS[0]}\n{TEXT}\n{OTHERS[1]}\n")
    sources = {"a": str(file)}
    beside = Confidence(True, sources)
    assert list(beside.sentences("a", TEXT)) == [TEXT, *OTHERS]
    made = [TEXT, *(form.format(TEXT) for form in PARAPHRASES)]
    assert list(beside.sentences("an array", TEXT)) == made
    assert list(beside.sentences("a", "Another.")) == [text.replace(TEXT, "Another.") for text in made]
    assert list(Confidence([" B. ", "C.", "A."], sources).sentences("a", "A.")) == ["A.", "B.", "C."]
    assert list(Confidence(TEXT, {}).sentences("a", TEXT)) == made, "the same again is no other"
    assert list(Confidence("B.", {}).sentences("a", "A.")) == ["A.", "B."]
    (tmp_path / "a.txt").write_text("\n".join(f"Room {number}." for number in range(99)))
    assert list(beside.sentences("a", "Room 0.")) == [f"Room {number}." for number in range(MOST)]


def test_paraphrases_have_their_sentences_unit(inferencer):
    units = inferencer.spec.units
    assert find_unit(COLON, units)[0] == "mm"
    for text in (TEXT, COLON):
        assert set(Confidence(True, {}).sentences("a", text).values()) == {text}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (5, "confidence is True, or a list of further sentences, not 5"),
        (["A room.", " "], "further sentence 2 is empty"),
        ([None], "further sentence 1 is None"),
        (["caf\udce9"], "further sentence 1 is not UTF-8"),
    ],
)
def test_what_is_no_sentence_is_refused(inferencer, given, message):
    with pytest.raises(InputError, match=message):
        inferencer(picture(0), TEXT, confidence=given)
