"""Anybody's depth model, as a class in a file or a module that the user names."""

import json
import sys
import textwrap

import cv2
import numpy as np
import pytest
import yaml

from tr2m_plugin.benchmark.estimators import Returns, open_estimator
from tr2m_plugin.cli import main
from tr2m_plugin.errors import InputError

PLAIN = """
    import numpy as np
    from beside import FACTOR

    class Brightness:
        returns = {"space": "depth", "metric": True, "unit": "m"}

        def __init__(self, device):
            self.device = device

        def predict(self, images, texts, size=None):
            return [image[..., 0] * FACTOR for image in images]
"""
WHOLE = """
    import numpy as np
    import torch
    from tr2m_plugin.benchmark.estimators import Estimator, Facts, Returns

    class Whole(Estimator):
        needs_text = True

        def __init__(self, weights=None, **others):
            self.returns = Returns("depth", metric=True)
            self.network = torch.nn.Linear(1, 1)
            self.facts = Facts("Whole", "whole.py", "abc", {"backbone": str(weights)})

        def predict(self, images, texts, size=None):
            return [np.full((2, 3), len(text), np.float32) for text in texts]

        def unit_of(self, text):
            return "mm" if "colon" in text else "m"
"""


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A folder with programs, whose modules are forgotten afterwards."""
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder])  # a config adds the current one
    (tmp_path / "beside.py").write_text("FACTOR = 0.01\n")
    (tmp_path / "plain_program.py").write_text(textwrap.dedent(PLAIN))
    (tmp_path / "whole_program.py").write_text(textwrap.dedent(WHOLE))
    yield tmp_path
    for file in tmp_path.glob("*.py"):
        sys.modules.pop(file.stem, None)


def test_a_class_of_a_file_is_measured_by_the_command(programs):
    rng = np.random.default_rng(0)
    for number in range(2):
        picture = rng.integers(50, 250, (24, 32, 3), np.uint8)
        cv2.imwrite(str(programs / f"{number}_rgb.png"), picture)
        cv2.imwrite(str(programs / f"{number}_depth.png"), picture[..., 2].astype(np.uint16) * 10)  # red, 10 mm each
    entry = {"type": "RGBDFolder", "root": str(programs), "image": "*_rgb.png", "depth": "*_depth.png"}
    entry |= {"depth_scale": 0.001, "unit": "m", "depth_range": [0.1, 5]}
    (programs / "roots.yaml").write_text(yaml.safe_dump({"mine": entry}))
    model = f"{programs / 'plain_program.py'}:Brightness"
    arguments = ["evaluate", "--model", model, "--roots", programs / "roots.yaml", "--out", programs / "out"]
    assert main([*map(str, arguments), "--alignment", "median", "--device", "cpu", "--workers", "0"]) == 0
    metrics = json.loads((programs / "out" / "metrics.json").read_text())
    assert list(metrics) == ["Brightness", "Brightness median"]
    assert metrics["Brightness"]["datasets"]["mine"]["abs_rel"] == pytest.approx(0, abs=1e-5)
    assert metrics["Brightness"]["model"] == "plain_program.py:Brightness", "without the folders of this machine"
    assert len(metrics["Brightness"]["weights"]) == 12


def test_a_class_of_a_module_says_everything_itself(programs, monkeypatch):
    monkeypatch.syspath_prepend(programs)
    found = open_estimator("whole_program:Whole", weights="mine.pth", device="cpu")
    assert (found.facts.label, found.facts.about["backbone"], found.needs_text) == ("Whole", "mine.pth", True)
    assert (found.unit_of("a colon"), found.unit_of("a room")) == ("mm", "m")
    assert found.predict([np.zeros((4, 4, 3))], ["abc"])[0].tolist() == np.full((2, 3), 3).tolist()


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("class A: pass", "has no method predict"),
        ("class A:\n    def predict(self, images, texts, size=None): return []", "does not say what it returns"),
        ("class A:\n    returns = {'space': 'depth', 'moon': 1}\n    def predict(self, *a): pass", "returns: .*moon"),
        (
            "class A:\n    returns = {'space': 'moon', 'metric': 1}\n    def predict(self): pass",
            "returns: space must be",
        ),
        ("class A:\n    def __init__(self): raise OSError('no file')", "cannot be made: OSError: no file"),
        ("import no_such_package", "cannot be imported: ModuleNotFoundError"),
        ("class B: pass", "has no class A"),
    ],
)
def test_what_is_wrong_with_a_program_is_said(programs, program, message):
    (programs / "wrong.py").write_text(program)
    with pytest.raises(InputError, match=f"wrong.py.*{message}"):
        open_estimator(f"{programs / 'wrong.py'}:A", device="cpu")


def test_a_file_is_named_with_its_ending(programs, monkeypatch):
    monkeypatch.chdir(programs)
    with pytest.raises(InputError, match=r"No module named 'plain_program'; of a file, write plain_program.py:Bright"):
        open_estimator("plain_program:Brightness", device="cpu")


def test_weights_and_meaning_are_given_once(programs):
    model = f"{programs / 'plain_program.py'}:Brightness"
    with pytest.raises(InputError, match="takes no weights"):
        open_estimator(model, "x.pth", "cpu")
    with pytest.raises(InputError, match="says itself what it returns"):
        open_estimator(model, device="cpu", returns=Returns("disparity", metric=False))
    with pytest.raises(InputError, match=r"no\.py does not exist"):
        open_estimator(f"{programs / 'no.py'}:A", device="cpu")


def test_as_many_maps_as_pictures(programs):
    (programs / "few.py").write_text("class A:\n    def predict(self, images, texts, size=None): return images[1:]")
    found = open_estimator(f"{programs / 'few.py'}:A", device="cpu", returns=Returns("depth", metric=True))
    with pytest.raises(InputError, match="gave 1 depth maps for 2 pictures"):
        found.predict([np.zeros((4, 4))] * 2, [])
