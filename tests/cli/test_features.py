import cv2
import torch

from tr2m_plugin.cli import main


def test_features_of_checkpoints(trained, tmp_path, capsys, repository):
    """Feature and index come from the config's hook."""
    checkpoint = str(next((trained / "train").rglob("iter_6.pth")))
    out = tmp_path / "features.png"
    config = str(repository / "configs" / "tr2m_mini.py")
    arguments = ["--data-root", str(trained), "--pictures", "2", "--method", "pca", "--out", str(out)]
    assert main(["features", config, checkpoint, checkpoint, *arguments]) == 0
    first, second, _ = [line for line in capsys.readouterr().out.splitlines() if "INFO" not in line]
    assert first == second
    assert -1 < float(first.rpartition(" ")[2]) < 1
    assert cv2.imread(str(out)).shape[:2] == (500, 1100)
    assert main(["features", config, checkpoint, "--feature", "rescale_net.fusoin", *arguments]) == 2
    assert "names near it: rescale_net.fusion" in capsys.readouterr().err
    torch.save({"state_dict": {}}, tmp_path / "empty.pth")
    assert main(["features", config, str(tmp_path / "empty.pth"), *arguments]) == 2
    assert "empty.pth holds no dict of tensors" in capsys.readouterr().err
