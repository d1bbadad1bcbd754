import json

import numpy as np
import pytest
import torch

from tr2m_plugin import TR2MInferencer
from tr2m_plugin.cli import main
from tr2m_plugin.errors import InputError
from tr2m_plugin.inference.convert import convert_release
from tr2m_plugin.models import RescaleNet
from tr2m_plugin.models.tr2m.released_weights import _theirs

MINI = ["--image-encoder", "mini_depth_anything", "--relative-depth", "mini_depth_anything"]
MINI += ["--text-encoder", "mini_clip_text", "--size", "112", "140", "--num-heads", "4"]


@pytest.fixture
def net():
    torch.manual_seed(0)
    return RescaleNet(image_channels=128, text_channels=160, out_channels=16, features=8, num_heads=4, head_channels=4)


@pytest.fixture
def release(net, tmp_path):
    path = tmp_path / "release.pth"
    torch.save({f"module.scalemap.{_theirs(name)}": value for name, value in net.state_dict().items()}, path)
    return path


def test_the_folder_predicts_what_the_release_says(net, release, tmp_path, capsys):
    folder = tmp_path / "model"
    assert main(["convert", str(release), str(folder), *MINI]) == 0
    assert "mini_clip_text" in capsys.readouterr().out
    inferencer = TR2MInferencer(folder, device="cpu", show_progress=False)
    for name, value in net.state_dict().items():
        assert torch.equal(inferencer.model.rescale_net.state_dict()[name], value)
    picture = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    (prediction,) = inferencer(picture, text="A small kitchen.")
    assert prediction.depth.shape == (60, 80)
    assert prediction.scale.shape == (112, 140)
    wide = TR2MInferencer(folder, device="cpu", show_progress=False, size=(84, 280))
    assert wide(picture, text="A street.")[0].scale.shape == (84, 280)


def test_the_release_s_networks_and_size_are_the_default(release, tmp_path):
    convert_release(release, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["relative_depth"] == {
        "type": "RelativeDepth",
        "pretrained": "LiheYoung/depth-anything-small-hf",
        "size": [434, 560],
        "aligned": True,
        "position_offset": 0.1,
    }
    assert config["text_encoder"]["pretrained"] == "openai/clip-vit-large-patch14"
    assert config["model"]["image_encoder"]["pretrained"] == "facebook/dinov2-large"
    assert config["model"]["rescale_net"]["head_channels"] == 4


def test_folders_are_found_from_anywhere(release, tmp_path, monkeypatch):
    (tmp_path / "dino").mkdir()
    monkeypatch.chdir(tmp_path)
    convert_release(release, "model", image_encoder="dino")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["model"]["image_encoder"]["pretrained"] == str(tmp_path / "dino")


def test_sizes_that_are_no_multiple_of_the_patch_are_refused(release, tmp_path):
    main(["convert", str(release), str(tmp_path / "model"), *MINI])
    with pytest.raises(InputError, match=r"multiples of the patch size, 14, such as 98 × 140, not 100 × 140"):
        TR2MInferencer(tmp_path / "model", device="cpu", show_progress=False, size=(100, 140))


def test_the_frozen_networks_need_not_be_at_hand_until_a_prediction_is_asked_for(
    release, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = tmp_path / "model"
    assert main(["convert", str(release), str(folder), "--image-encoder", str(tmp_path / "nothing")]) == 0
    (tmp_path / "a.jpg").write_bytes(b"")
    assert main(["predict", str(tmp_path / "a.jpg"), "--text", "x", "--model", str(folder), "--device", "cpu"]) == 2
    assert "nothing': give a folder saved by save_pretrained, or fetch it" in capsys.readouterr().err


def test_bad_files_leave_no_folder(release, tmp_path, capsys):
    release.write_bytes(release.read_bytes()[:1000])
    assert main(["convert", str(release), str(tmp_path / "model")]) == 2
    assert "release.pth is not a readable checkpoint" in capsys.readouterr().err
    torch.save({"conv.weight": torch.zeros(1)}, release)
    assert main(["convert", str(release), str(tmp_path / "model")]) == 2
    assert "not the released head's weights" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


def test_unknown_tensors(net, release, tmp_path, capsys):
    state = {f"scalemap.{_theirs(name)}": value for name, value in net.state_dict().items()}
    torch.save({**state, "scalemap.extra": torch.zeros(1)}, release)
    assert main(["convert", str(release), str(tmp_path / "model"), *MINI]) == 2
    assert "1 tensors are left over (extra)" in capsys.readouterr().err
    assert main(["convert", str(release), str(tmp_path / "model"), *MINI, "--skip-unknown"]) == 0
    assert "left out extra" in capsys.readouterr().err
