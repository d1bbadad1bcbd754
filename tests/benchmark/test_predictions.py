import cv2
import numpy as np
import pytest

from tr2m_plugin.benchmark.estimators import Facts, Returns
from tr2m_plugin.benchmark.predictions import PredictionWriter, StoredPredictions
from tr2m_plugin.errors import InputError

METRES = Returns("depth", metric=True, unit="m")
FACTS = Facts("some model", "some/model", "0123456789ab", {"type": "I → M"})


def array(number):
    return np.full((3, 4), number, np.float64)


def test_shards_come_back_with_what_they_mean(tmp_path):
    writer = PredictionWriter(tmp_path, METRES, FACTS, {"protocol": "abc"}, shard_size=2)
    for number in range(5):
        writer.add(f"scene/{number}", array(number))
    assert len(list(tmp_path.glob("*.safetensors"))) == 2, "full shards are on disk before the end"
    writer.flush()
    found = StoredPredictions(tmp_path)
    assert (found.returns, found.facts, found.settings) == (METRES, FACTS, {"protocol": "abc"})
    np.testing.assert_array_equal(found["scene/4"], array(4).astype(np.float32))
    found.check(f"scene/{number}" for number in range(5))
    with pytest.raises(InputError, match="lacks 2 of 3 predictions, such as scene/5"):
        found.check(["scene/0", "scene/5", "scene/6"])


def test_an_interrupted_run_goes_on_and_another_models_does_not(tmp_path):
    writer = PredictionWriter(tmp_path, METRES, FACTS, {"size": (3, 4)}, shard_size=2)
    for number in range(3):
        writer.add(str(number), array(number))
    again = PredictionWriter(tmp_path, METRES, FACTS, {"size": (3, 4)}, shard_size=2)
    assert again.done == {"0": "", "1": ""}, "what was not yet a whole shard is lost"
    again.add("2", array(2), "stamp")
    again.add("0", array(7), "new")
    again.flush()
    found = StoredPredictions(tmp_path)
    found.check(["0", "1", "2"])
    assert (found["0"] == 7).all(), "a later prediction takes the place of an earlier one"
    assert PredictionWriter(tmp_path, METRES, FACTS, {"size": (3, 4)}).done == {"0": "new", "1": "", "2": "stamp"}
    with pytest.raises(InputError, match="holds predictions with other settings"):
        PredictionWriter(tmp_path, METRES, FACTS, {"size": (6, 8)})
    with pytest.raises(InputError, match="with other facts"):
        PredictionWriter(tmp_path, METRES, Facts("b", "b", "f"), {"size": (3, 4)})


def test_files_of_any_program(tmp_path):
    (tmp_path / "scene").mkdir()
    np.save(tmp_path / "scene" / "a.npy", array(2))
    cv2.imwrite(str(tmp_path / "scene" / "b.png"), np.full((3, 4), 1500, np.uint16))
    found = StoredPredictions(tmp_path, METRES, scale=0.001)
    np.testing.assert_allclose(found["scene/a"], array(2))
    np.testing.assert_allclose(found["scene/b"], array(1.5))
    assert found.facts.label == tmp_path.name
    assert StoredPredictions(tmp_path, METRES, label="AdaBins").facts.label == "AdaBins"


def test_what_is_wrong_is_said(tmp_path):
    with pytest.raises(InputError, match="is not a folder of predictions"):
        StoredPredictions(tmp_path / "no", METRES)
    with pytest.raises(InputError, match="does not say what its files mean: give --returns"):
        StoredPredictions(tmp_path)
    cv2.imwrite(str(tmp_path / "a.png"), np.ones((3, 4), np.uint16))
    cv2.imwrite(str(tmp_path / "b.png"), np.ones((3, 4), np.uint8))
    with pytest.raises(InputError, match=r"a.png has whole numbers: give .* --png-scale"):
        StoredPredictions(tmp_path, METRES)["a"]
    with pytest.raises(InputError, match=r"b.png has 8 bits, not 16"):
        StoredPredictions(tmp_path, METRES, scale=1)["b"]
    with pytest.raises(InputError, match=r"lacks 1 of 2 predictions, such as z.npy or .png"):
        StoredPredictions(tmp_path, METRES).check(["a", "z"])
    (tmp_path / "c.npy").write_bytes(b"no array")
    with pytest.raises(InputError, match=r"c.npy is not an array"):
        StoredPredictions(tmp_path, METRES)["c"]
    with pytest.raises(InputError, match=r"a.png has whole numbers: give .* --png-scale"):
        StoredPredictions(tmp_path, METRES).check(["a", "b"])
    (tmp_path / "predictions.json").write_text("{")
    with pytest.raises(InputError, match=r"predictions.json does not describe predictions .*: remove its folder"):
        StoredPredictions(tmp_path)


def test_shards_say_themselves_what_they_mean(tmp_path):
    PredictionWriter(tmp_path, METRES, FACTS, {}).flush()
    with pytest.raises(InputError, match="leave out --returns"):
        StoredPredictions(tmp_path, METRES)
