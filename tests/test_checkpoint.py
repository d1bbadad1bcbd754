import os

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from safetensors.torch import save_file

from tr2m_plugin.checkpoint import load_checkpoint, register_safe_loader
from tr2m_plugin.errors import InputError, UnsafeCheckpointError


class RunsCode:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


class ReachesThroughGetattr:
    """The way round a plain getattr: from an allowed function to its module's globals."""

    def __reduce__(self):
        return getattr, (HistoryBuffer.update, "__globals__")


class ReachesAnotherClass:
    def __reduce__(self):
        return getattr, (np.ndarray, "tofile")


def test_weights_and_training_state_come_back(tmp_path):
    buffer = HistoryBuffer([1.0, 2.0], [1, 1])
    buffer.mean()
    content = {
        "state_dict": {"w": torch.ones(2)},
        "message_hub": {"log_scalars": {"loss": buffer}},
        "meta": {"iter": 3},
    }
    torch.save(content, tmp_path / "a.pth")
    loaded = load_checkpoint(tmp_path / "a.pth")
    assert torch.equal(loaded["state_dict"]["w"], torch.ones(2))
    assert loaded["message_hub"]["log_scalars"]["loss"].mean() == 1.5
    save_file({"w": torch.ones(2)}, tmp_path / "b.safetensors")
    assert torch.equal(load_checkpoint(tmp_path / "b.safetensors")["state_dict"]["w"], torch.ones(2))


@pytest.mark.parametrize("make", [RunsCode, lambda _: ReachesThroughGetattr(), lambda _: ReachesAnotherClass()])
@pytest.mark.parametrize("through_mmengine", [False, True])
def test_code_is_refused_and_does_not_run(tmp_path, make, through_mmengine):
    path, mark = tmp_path / "bad.pth", tmp_path / "it_ran"
    torch.save({"state_dict": {"w": torch.ones(1)}, "extra": make(mark)}, path)
    register_safe_loader()
    load = CheckpointLoader.load_checkpoint if through_mmengine else load_checkpoint
    with pytest.raises(UnsafeCheckpointError, match=r"bad.pth is not loaded") as caught:
        load(str(path))
    assert "\n" not in str(caught.value)
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"", b"hello world", b"PK\x03\x04 cut off", bytes(range(256))])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_no_checkpoint_is_one_clear_line(tmp_path, content, suffix):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"x{suffix} is not a readable") as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_missing_file_and_other_content(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_checkpoint(tmp_path / "no.pth")
    torch.save([1], tmp_path / "list.pth")
    with pytest.raises(InputError, match="holds a list"):
        load_checkpoint(tmp_path / "list.pth")
