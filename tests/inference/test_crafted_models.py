"""Model folders and checkpoints that somebody else made: each is refused in a line, runs nothing and leaves nothing."""

import builtins
import copy
import json
import os
import pickle
import shutil
import struct
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from safetensors.torch import save_file
from torch.nn.modules.module import register_module_parameter_registration_hook

from tr2m_plugin.benchmark.estimators import open_estimator
from tr2m_plugin.cli import main
from tr2m_plugin.errors import InputError
from tr2m_plugin.inference.model_folder import load_spec
from tr2m_plugin.models import RescaleNet
from tr2m_plugin.models.tr2m.released_weights import _theirs
from tr2m_plugin.weights import resolve_pretrained

MINI = Path(resolve_pretrained("tr2m_mini"))
CONFIG = json.loads((MINI / "config.json").read_text())
CANARY, VICTIM = "it_ran", "victim"
PLACES = (
    "model",
    "model.data_preprocessor",
    "model.image_encoder",
    "model.rescale_net",
    "model.loss_si",
    "model.loss_pseudo",
    "model.loss_smooth",
    "relative_depth",
    "text_encoder",
)
TYPES = {
    "a function": {"type": "os.mkdir", "path": CANARY},
    "a deletion": {"type": "shutil.rmtree", "path": VICTIM},
    "our scope before it": {"type": "tr2m_plugin.os.mkdir", "path": CANARY},
    "a foreign scope": {"type": "crafted_scope.Anything"},
    "another of ours": {"type": "HFDepthModel", "pretrained": "mini_dpt"},
    "a number": {"type": 3},
    "no type": {"pretrained": "mini_dpt"},
}
ADDED = {
    "_scope_": "crafted_scope",
    "_delete_": True,
    "init_cfg": {"type": "Pretrained", "checkpoint": "a.pth"},
}
VALUES = [
    ("model", None),
    ("model", []),
    ("model.rescale_net", None),
    ("model.rescale_net", "RescaleNet"),
    ("model.rescale_net.image_channels", 2**31 - 1),
    ("model.rescale_net.image_channels", 10**400),
    ("model.rescale_net.features", 200_000),
    ("model.rescale_net.features", -1),
    ("model.rescale_net.features", True),
    ("model.rescale_net.features", "16"),
    ("model.rescale_net.num_heads", 0),
    ("model.rescale_net.num_heads", 7),
    ("model.rescale_net.coef_scale", None),
    ("model.rescale_net.maps", "neither"),
    ("model.rescale_net.maps", {"type": "os.mkdir", "path": CANARY}),
    ("model.rescale_net", {"type": "RescaleFactors", "widths": [8] * 100_000}),
    ("model.rescale_net", {"type": "RescaleFactors", "widths": 8}),
    ("model.rescale_net", {"type": "RescaleFactors", "widths": []}),
    ("model.patch_size", 0),
    ("model.data_preprocessor.mean", [1.0, 2.0]),
    ("model.data_preprocessor.std", None),
    ("model.data_preprocessor.pad_size_divisor", 10**6),
    ("relative_depth.pretrained", 3),
    ("relative_depth.pretrained", "a\0b"),
    ("relative_depth.pretrained", "\ud800"),
    ("relative_depth.size", [112]),
    ("relative_depth.size", [0, 0]),
    ("relative_depth.size", [112, 141]),
    ("relative_depth.size", [-14, 28]),
    ("relative_depth.size", [14_000_000, 14_000_000]),
    ("relative_depth.device", "meta"),
    ("relative_depth.trust_remote_code", True),
    ("units", ["mm"]),
    ("units", {"mm": "colon"}),
    ("units", {"km": ["street"]}),
    ("about", "mine"),
    ("surprise", 1),
]


def changed(place, value):
    content = copy.deepcopy(CONFIG)
    inside = content
    *path, name = place.split(".")
    for step in path:
        inside = inside[step]
    inside[name] = value
    return content


def inside(place):
    found = CONFIG
    for step in place.split("."):
        found = found[step]
    return found


def texts():
    plain = json.dumps(CONFIG)
    yield "cut off", plain[:-20]
    yield "NaN", plain.replace("0.15", "NaN")
    yield "an infinity", plain.replace("0.15", "-Infinity")
    yield "an overflow", plain.replace("0.15", "1e999")
    yield "a name twice", plain[:-1] + ', "model": {"type": "os.mkdir", "path": "it_ran"}}'
    yield "too deep", '{"format": "tr2m", "model": ' + "[" * 100_000
    yield "too many digits", plain.replace("0.15", "9" * 10_000)
    yield "too long", plain + " " * 2**20
    yield "no object", '["tr2m"]'
    yield "another format", plain.replace('"tr2m"', '"other"')
    yield "nothing", ""
    yield "UTF-16", plain.encode("utf-16")
    yield "a folder", None
    for name in ("model", "relative_depth", "text_encoder"):
        yield f"no {name}", json.dumps({key: value for key, value in CONFIG.items() if key != name})


FOLDERS = {
    **{f"{place}: {what}": changed(place, attack) for place in PLACES for what, attack in TYPES.items()},
    **{f"{p}: {name}": changed(p, {**inside(p), name: value}) for p in PLACES for name, value in ADDED.items()},
    **{f"{place}: {str(value)[:20]!a} {n}": changed(place, value) for n, (place, value) in enumerate(VALUES)},
    **dict(texts()),
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with a picture, something to delete and a package to import; caches are below it."""
    monkeypatch.chdir(tmp_path)
    for name in ("TMPDIR", "HOME", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    Path(VICTIM).mkdir()
    cv2.imwrite("a.png", np.zeros((8, 8, 3), np.uint8))
    Path("crafted_scope").mkdir()
    Path("crafted_scope/__init__.py").write_text("")
    Path("crafted_scope/registry.py").write_text(f"import os\nos.mkdir({CANARY!r})\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return tmp_path


def put(folder, content):
    folder.mkdir()
    (folder / "model.safetensors").symlink_to(MINI / "model.safetensors")
    path = folder / "config.json"
    if content is None:
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))


def refused(here, capsys, *arguments):
    """The one line that a command says as it refuses; nothing is changed by it."""
    before = sorted(here.rglob("*"))
    assert main(list(arguments)) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("tr2m: ")
    assert captured.err.count("\n") == 1
    assert len(captured.err) < 1000
    assert sorted(here.rglob("*")) == before
    return captured.err


def predict(here, capsys, *arguments):
    return refused(here, capsys, "predict", "a.png", "--text", "A room.", "--device", "cpu", *arguments)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_crafted_folder(here, capsys, name):
    put(here / "model", FOLDERS[name])
    made = []
    hook = register_module_parameter_registration_hook(lambda module, name, value: made.append(name))
    try:
        message = predict(here, capsys, "--model", "model")
    finally:
        hook.remove()
    assert "model/" in message or "model is not a model folder" in message
    assert len(made) < 60, "no frozen network is made"
    if name.partition(":")[0] in PLACES and name.partition(": ")[2] in {*TYPES, *ADDED}:
        assert name.partition(":")[0] in message, "it names the place"
    with pytest.raises(InputError):
        open_estimator("model", device="cpu")
    assert not Path(CANARY).exists()


def test_there_are_more_than_a_hundred_and_the_honest_one_opens(here):
    assert len(FOLDERS) + len(FILES) > 100
    put(here / "model", CONFIG)
    assert load_spec("model").model == CONFIG["model"]
    prefixed = changed("model.type", "tr2m_plugin.TR2M")
    put(here / "prefixed", "\ufeff" + json.dumps(prefixed))
    assert load_spec("prefixed").model["type"] == "tr2m_plugin.TR2M"


def test_a_pipe_is_no_config(here, capsys):
    put(here / "model", None)
    (here / "model" / "config.json").rmdir()
    os.mkfifo(here / "model" / "config.json")
    assert "it has no config.json" in predict(here, capsys, "--model", "model")


class Calls:
    """Pickled, it asks for a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def weights():
    return {name: torch.zeros(1) for name in ("rescale_net.a", "projects.weight")}


def saved(content):
    return lambda path: torch.save(content, path)


def altered(name, value):
    """The packaged weights with another tensor in one place."""

    def write(path):
        from safetensors.torch import load_file

        torch.save({"state_dict": {**load_file(MINI / "model.safetensors"), name: value}}, path)

    return write


def bomb(path):
    torch.save(weights(), path)
    with zipfile.ZipFile(path) as archive:
        content = {item: archive.read(item) for item in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for item, data in content.items():
            archive.writestr(item, data + bytes(10**6) * item.endswith("/0"))


def cut(path):
    torch.save(weights(), path)
    path.write_bytes(path.read_bytes()[:-300])


def header(size, content=b"{}"):
    return lambda path: path.write_bytes(struct.pack("<Q", size) + content)


def table(**entry):
    text = json.dumps({"rescale_net.a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **entry}}).encode()
    return lambda path: path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))


def head(**other):
    """Some of the released head, as far as sizes are read from it."""
    sizes = {"projects.weight": (8, 8, 1, 1), "layer1_rn.weight": (8, 8, 3, 3)}
    state = {name: torch.zeros(size) for name, size in sizes.items()}
    return saved({**state, "output_conv_scale2.0.weight": torch.zeros(8, 4, 3, 3), **other})


NORM = "rescale_net.fusion.norm_self.weight"
FILES = {
    "a call.pth": saved({"state_dict": weights(), "meta": Calls(os.mkdir, CANARY)}),
    "a call as a key.pth": saved({Calls(os.mkdir, CANARY): 1}),
    "a call for the weights.pth": saved({"state_dict": Calls(os.mkdir, CANARY)}),
    "a call by exec.pth": saved({"x": Calls(builtins.exec, f"import os; os.mkdir({CANARY!r})")}),
    "a deletion.pth": saved({"x": Calls(shutil.rmtree, VICTIM)}),
    "getattr of a method.pth": saved({"x": Calls(getattr, HistoryBuffer.update, "__globals__")}),
    "getattr of a module.pth": saved({"x": Calls(getattr, Calls(__import__, "os"), "mkdir")}),
    "getattr of an array.pth": saved({"x": Calls(getattr, np.ndarray, "tofile")}),
    "a call in the log.pth": saved({"message_hub": {"log_scalars": Calls(os.mkdir, CANARY)}, "state_dict": weights()}),
    "a plain pickle.pth": lambda path: path.write_bytes(pickle.dumps(Calls(os.mkdir, CANARY), 2)),
    "an old pickle.pth": lambda path: torch.save(
        {"x": Calls(os.mkdir, CANARY)}, path, _use_new_zipfile_serialization=False
    ),
    "null.pth": saved({"state_dict": None}),
    "a list.pth": saved({"state_dict": [torch.zeros(1)]}),
    "only a list.pth": saved([1]),
    "empty weights.pth": saved({"state_dict": {}}),
    "numbers.pth": saved({"state_dict": {NORM: 1.0}}),
    "text.pth": altered(NORM, "one"),
    "another shape.pth": altered(NORM, torch.zeros(7)),
    "whole numbers.pth": altered(NORM, torch.zeros(128, dtype=torch.int64)),
    "a sparse tensor.pth": altered(NORM, torch.zeros(128).to_sparse()),
    "a tensor of nothing.pth": altered(NORM, torch.zeros(128, device="meta")),
    "a head without shape.pth": head(**{"layer1_rn.weight": torch.zeros(())}),
    "a head of vectors.pth": head(**{"projects.weight": torch.zeros(8)}),
    "a head of nothing.pth": head(**{"projects.weight": torch.zeros(1).expand(8, 10**6)}),
    "compressed.pth": bomb,
    "cut off.pth": cut,
    "no bytes.pth": lambda path: path.write_bytes(b""),
    "a folder.pth": lambda path: path.mkdir(),
    "a pipe.pth": os.mkfifo,
    "a pipe.safetensors": os.mkfifo,
    "a huge header.safetensors": header(2**62),
    "a long header.safetensors": header(10**9),
    "no header.safetensors": header(2, b"[]"),
    "no json.safetensors": header(2, b"{{"),
    "too short.safetensors": lambda path: path.write_bytes(b"\0\0"),
    "a huge tensor.safetensors": table(shape=[2**31, 2**31]),
    "offsets outside.safetensors": table(data_offsets=[0, 2**40]),
    "no such dtype.safetensors": table(dtype="F7"),
    "four bits.safetensors": table(dtype="F4", shape=[8]),
    "other names.safetensors": lambda path: save_file(weights(), path),
}


@pytest.mark.parametrize("name", FILES)
def test_a_crafted_checkpoint(here, capsys, name):
    FILES[name](here / name)
    assert name in predict(here, capsys, "--model", "tr2m_mini", "--weights", name)
    assert name in refused(here, capsys, "convert", name, "out")
    assert not Path(CANARY).exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--num-heads", "7"], "num_heads must divide the 64 channels"),
        (["--size", "100", "100"], "size must be multiples of 14, such as 98 × 98, not 100 × 100"),
        (["--size", "140000", "140000"], "size must be of 16777216 pixels at most"),
    ],
)
def test_options_of_convert(here, capsys, options, message):
    net = RescaleNet(image_channels=64, text_channels=16, out_channels=8, features=8, head_channels=4)
    torch.save({_theirs(name): value for name, value in net.state_dict().items()}, "release.pth")
    assert message in refused(here, capsys, "convert", "release.pth", "out", *options)


@pytest.mark.parametrize("options", [["--num-heads", "0"], ["--size", "0", "0"], ["--size", "-14", "28"]])
def test_numbers_of_convert_are_above_0(here, capsys, options):
    with pytest.raises(SystemExit, match="2"):
        main(["convert", "release.pth", "out", *options])
    assert "is not a whole number above 0" in capsys.readouterr().err
