import json

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from tr2m_plugin import TR2MInferencer
from tr2m_plugin.datasets.pictures import list_pictures, name_pictures, read_sentence
from tr2m_plugin.errors import InputError
from tr2m_plugin.inference.anchors import Anchors
from tr2m_plugin.inference.clouds import Cloud
from tr2m_plugin.registry import INFERENCERS

TEXT = "A small kitchen with a table and two chairs."


@pytest.fixture(scope="module")
def inferencer(trained):
    return TR2MInferencer(trained / "model", device="cpu", show_progress=False)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name, size in (("a.jpg", (30, 50)), ("b.png", (90, 64)), ("sub/c.jpg", (40, 40))):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rng.integers(0, 255, (*size, 3), np.uint8))
    return tmp_path / "pictures"


def test_depth_has_the_pictures_size_and_is_eq_3(inferencer, folder):
    (found,) = inferencer(folder / "b.png", text=TEXT)
    assert found.depth.shape == (90, 64)
    assert found.depth.dtype == np.float32
    assert found.name == "b"
    assert (found.depth > 0).all()
    expected = 1 / (found.scale * found.relative + found.shift)
    image = inferencer.preprocess([found.image], [TEXT])
    sample = inferencer.forward(image)[0]
    np.testing.assert_allclose(sample.pred_depth_map.data[0].numpy(), expected, rtol=1e-4)


def test_an_array_is_taken_like_its_file(inferencer, folder):
    (by_file,) = inferencer(folder / "a.jpg", text=TEXT)
    (by_array,) = inferencer(by_file.image, text=TEXT)
    np.testing.assert_array_equal(by_file.depth, by_array.depth)
    assert by_array.name == "0"


def test_batches_change_nothing_and_the_text_matters(inferencer, folder):
    one = inferencer(folder, text=TEXT, batch_size=1)
    many = inferencer(folder, text=[TEXT] * 3, batch_size=8)
    assert [p.name for p in many] == ["a", "b", "sub/c"]
    for a, b in zip(one, many, strict=True):
        np.testing.assert_allclose(a.depth, b.depth, rtol=1e-3)
    (other,) = inferencer(folder / "a.jpg", text="An endoscopic view of the cecum.")
    assert not np.allclose(other.depth, one[0].depth, rtol=0.01)
    assert (one[0].unit, other.unit) == ("m", "mm")


def test_depth_is_converted_to_the_unit(inferencer, folder):
    (own,), (converted,) = (inferencer(folder / "a.jpg", text=TEXT, unit=unit) for unit in (None, "mm"))
    assert (own.unit, converted.unit) == ("m", "mm")
    np.testing.assert_allclose(converted.depth, 1000 * own.depth, rtol=1e-6)
    np.testing.assert_allclose(
        1 / (converted.scale * converted.relative + converted.shift),
        1000 / (own.scale * own.relative + own.shift),
        rtol=1e-4,
    )
    assert converted.unit_reason == f"asked for; the model's own is m: {own.unit_reason}"
    colon = "A view of the colon."
    (own,), (same,) = (inferencer(folder / "a.jpg", text=colon, unit=unit) for unit in (None, "mm"))
    assert own.unit_reason == same.unit_reason == "the description says 'colon'"
    np.testing.assert_array_equal(own.depth, same.depth)
    with pytest.raises(InputError, match="a unit of depth is m or mm, not 'km'"):
        inferencer(folder / "a.jpg", text=TEXT, unit="km")


def test_arrays_number_on_in_a_folder(inferencer, tmp_path):
    image = np.zeros((8, 9, 3), np.uint8)
    for _ in range(2):
        inferencer(image, text=TEXT, out_dir=tmp_path)
    names = [found.name for found in inferencer([image, Image.fromarray(image)], text=TEXT, out_dir=tmp_path)]
    assert names == ["2", "3"]
    assert sorted(path.name for path in tmp_path.glob("*.npy")) == ["0.npy", "1.npy", "2.npy", "3.npy"]
    (named,) = inferencer(image, text=TEXT, out_dir=tmp_path, names=["left/7"])
    assert named.name == "left/7"
    assert (tmp_path / "left" / "7.json").is_file()


def test_a_bar_is_for_several_pictures(trained, capsys):
    shows = TR2MInferencer(trained / "model", device="cpu")
    image = np.zeros((8, 9, 3), np.uint8)
    shows(image, text=TEXT)
    assert "picture" not in capsys.readouterr().err
    shows([image, image], text=TEXT)
    assert "2/2" in capsys.readouterr().err


def test_any_exception_is_one_pictures(inferencer, folder, monkeypatch):
    def fails(batch):
        if any(sample.text == "two" for sample in batch["data_samples"]):
            raise ValueError("no such place\nmore")
        return whole(batch)

    whole = inferencer.forward
    monkeypatch.setattr(inferencer, "forward", fails)
    errors = []
    found = list(inferencer.predict(folder, ["one", "two", "three"], on_error=errors.append))
    assert [prediction.name for prediction in found] == ["a", "sub/c"]
    assert [str(error) for error in errors] == ["b: ValueError: no such place"]
    with pytest.raises(InputError, match="b: ValueError: no such place"):
        inferencer(folder, ["one", "two", "three"])
    monkeypatch.undo()

    def broken(_):
        raise MemoryError

    monkeypatch.setattr("tr2m_plugin.inference.batches.read_image", broken)
    assert list(inferencer.predict(folder / "a.jpg", TEXT, on_error=errors.append)) == []
    assert str(errors[-1]).endswith("a.jpg: MemoryError")


def test_large_pictures_are_few_in_memory_and_small_for_the_networks(inferencer, folder, monkeypatch):
    sizes = []
    whole = inferencer.forward
    monkeypatch.setattr(inferencer, "forward", lambda batch: sizes.append(len(batch["inputs"])) or whole(batch))
    monkeypatch.setattr("tr2m_plugin.inference.batches.BATCH_PIXELS", 2000)
    assert [found.depth.shape for found in inferencer(folder, text=TEXT)] == [(30, 50), (90, 64), (40, 40)]
    assert sizes == [2, 1]
    monkeypatch.setattr("tr2m_plugin.inference.inferencer.NETWORK_PIXELS", 1000)
    (found,) = inferencer(folder / "b.png", text=TEXT)
    small = cv2.resize(found.image, (27, 38), interpolation=cv2.INTER_AREA)
    monkeypatch.undo()
    np.testing.assert_array_equal(inferencer(small, text=TEXT)[0].relative, found.relative)
    assert found.depth.shape == (90, 64)


def test_descriptions_lie_beside_the_pictures(inferencer, folder):
    (folder / "a.txt").write_text("\n  A bathroom.  \nmore\n")
    (found,) = inferencer(folder / "a.jpg")
    assert found.text == "A bathroom."
    with pytest.raises(InputError, match=r"b.png has no description: give a text, or write one into b.txt"):
        inferencer(folder / "b.png")
    (folder / "b.txt").write_text(" \n")
    with pytest.raises(InputError, match=r"b.txt holds no text"):
        read_sentence(folder / "b.png")
    (folder / "b.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"b.txt is not a UTF-8 text file"):
        read_sentence(folder / "b.png")


def test_files_are_written_as_they_come_and_not_read_again(inferencer, folder):
    (folder / "b.png").write_text("no picture")
    with pytest.raises(InputError, match=r"b.png is not a picture"):
        inferencer(folder, text=TEXT, out_dir=folder / "out", batch_size=1)
    assert (folder / "out" / "a.npy").is_file()
    assert len(list_pictures(folder, skip=folder / "out")) == 3
    errors = []
    names = [p.name for p in inferencer.predict(folder, TEXT, skip=folder / "out", on_error=errors.append)]
    assert names == ["a", "sub/c"]
    assert len(errors) == 1


def test_names_are_unique(folder):
    cv2.imwrite(str(folder / "a.png"), np.zeros((4, 4, 3), np.uint8))
    names = [name for name, _ in name_pictures([folder, folder / "a.jpg", np.zeros((2, 2, 3), np.uint8)])]
    assert names == ["a", "a_2", "b", "sub/c", "a_3", "2"]


def test_bad_input_is_refused(inferencer, folder, tmp_path):
    with pytest.raises(InputError, match="neither a picture nor a folder"):
        inferencer(tmp_path / "nothing", text=TEXT)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no picture"):
        inferencer(tmp_path / "empty", text=TEXT)
    with pytest.raises(InputError, match="2 texts for 3 pictures"):
        inferencer(folder, text=["a", "b"])
    with pytest.raises(InputError, match="the text is empty"):
        inferencer(folder, text=" ")
    with pytest.raises(InputError, match="text 2 of 3 is None: describe the scene"):
        inferencer(folder, text=[TEXT, None, TEXT])
    with pytest.raises(InputError, match=r"the text is not UTF-8: 'caf\\udce9'"):
        inferencer(folder, text="caf\udce9")
    for number in (0, -1, 1.5):
        with pytest.raises(InputError, match=f"batch_size is a whole number above 0, not {number}"):
            inferencer(folder, text=TEXT, batch_size=number)
    with pytest.raises(InputError, match="are normalised"):
        inferencer(folder, text=TEXT, intrinsics=(0.8, 1.07, 0.5, 0.5))
    with pytest.raises(InputError, match="an array has no description"):
        inferencer(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(InputError, match=r"\(H, W, 3\) uint8 RGB, not \(8, 8\)"):
        inferencer(np.zeros((8, 8), np.uint8), text=TEXT)


def test_a_config_with_a_checkpoint(trained, repository, inferencer, folder):
    checkpoint = sorted((trained / "train").glob("best_abs_rel_*.pth"))[-1]
    config = repository / "configs" / "tr2m_mini.py"
    built = INFERENCERS.build(
        {"type": "tr2m_plugin.TR2MInferencer", "model": str(config), "weights": str(checkpoint), "device": "cpu"}
    )
    np.testing.assert_array_equal(
        built(folder / "a.jpg", text=TEXT)[0].depth, inferencer(folder / "a.jpg", text=TEXT)[0].depth
    )
    with pytest.raises(InputError, match="is a config: give the weights"):
        TR2MInferencer(config)
    for size, message in (
        ((0, 0), "in pixels"),
        ((-14, 28), "in pixels"),
        ((100, 140), "patch size, 14, such as 98 × 140, not 100"),
    ):
        with pytest.raises(InputError, match=message):
            TR2MInferencer(trained / "model", device="cpu", size=size)


def test_the_packaged_model_tells_a_room_from_its_dolls_house(world):
    from tr2m_plugin.datasets.arrays import find_arrays, read_image

    rooms = [ref for name, ref in find_arrays(world / "world").items() if "test" in ref and "rooms" in ref]
    image = read_image(next(ref for ref in rooms if ref.endswith("/image")))
    inferencer = TR2MInferencer(device="cpu", show_progress=False)
    room, toy = inferencer([image, image], text=["A kitchen with a table.", "A dolls' house kitchen with a toy table."])
    assert np.median(room.depth) > 4 * np.median(toy.depth)
    assert torch.is_grad_enabled()


def test_depth_that_is_known_is_met(inferencer, folder, tmp_path):
    (plain,) = inferencer(folder / "b.png", text=TEXT)
    points = np.array([[3.0, 80, 2 * plain.depth[80, 3]], [60, 10, 2 * plain.depth[10, 60]]])
    (brought,) = inferencer(folder / "b.png", text=TEXT, anchors=points)
    np.testing.assert_allclose(brought.depth, 2 * plain.depth, rtol=1e-5)
    assert plain.anchors is None
    (brought,) = inferencer(folder / "b.png", text=TEXT, unit="mm", anchors=Anchors(points * [1, 1, 1000], unit="mm"))
    np.testing.assert_allclose(brought.depth, 2000 * plain.depth, rtol=1e-5)
    errors = []
    given = [None, points * [1, 1, -1], points[:1] * [0, 0, 1]]
    done = list(inferencer.predict(folder, TEXT, on_error=errors.append, anchors=given))
    assert [prediction.name for prediction in done] == ["a", "sub/c"]
    assert [str(error)[:11] for error in errors] == ["anchors[0]:"]
    assert done[1].depth[0, 0] == pytest.approx(points[0, 2], rel=1e-5)
    with pytest.raises(InputError, match="anchors of 3 pictures for 1"):
        inferencer(folder / "b.png", text=TEXT, anchors=given)


def test_a_camera_file_and_what_is_written(inferencer, folder, tmp_path):
    camera = tmp_path / "camera.json"
    camera.write_text(json.dumps({"fx": 50, "fy": 51, "cx": 24, "cy": 15, "width": 50, "height": 30}))
    cloud = Cloud(["glb"], keep_edges=True)
    inferencer(folder / "a.jpg", text=TEXT, out_dir=tmp_path / "out", camera=camera, cloud=cloud)
    facts = json.loads((tmp_path / "out" / "a.json").read_text())
    assert facts["intrinsics"] == {"fx": 50, "fy": 51, "cx": 24, "cy": 15, "source": str(camera)}
    assert facts["files"][-1] == "a.glb"
    assert facts["anchors"] is None
    with pytest.raises(InputError, match="is the camera of pictures of 50 × 30, and this one has 64 × 90"):
        inferencer(folder / "b.png", text=TEXT, out_dir=tmp_path / "out", camera=camera)
