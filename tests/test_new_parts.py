"""A new dataset, estimator and alignment need what docs/architecture.md says, and nothing else."""

import csv
import json
import sys
from types import ModuleType

import cv2
import numpy as np
import pytest

from tr2m_plugin.benchmark.estimators import Estimator, Returns
from tr2m_plugin.benchmark.estimators.base import ESTIMATORS
from tr2m_plugin.cli import main
from tr2m_plugin.datasets import readers
from tr2m_plugin.datasets.readers.base import Reader
from tr2m_plugin.evaluation.alignment import ALIGNMENTS, AlignmentKind

PLANE = """
import numpy as np

class Plane:
    returns = {"space": "depth", "metric": True, "unit": "m"}

    def predict(self, images, texts, size):
        return [np.full(image.shape[:2], 3, np.float32) for image in images]
"""


class Toy(Reader):
    name, title, domain, counts, publisher = "toy", "Toy", "indoor", {"test": 3}, "nobody"

    def rows(self):
        for name in (self.folder / "list.txt").read_text().split():
            yield self.row(name, "test", self.folder / f"{name}.png", self.folder / f"{name}.npy")

    @staticmethod
    def depth(row):
        return np.load(row.truth) / np.float32(2)  # by which it is seen that this decodes


class Ramp(Estimator):
    returns = Returns("depth", metric=False)

    @classmethod
    def opens(cls, request):
        return request.model == "ramp"

    def predict(self, images, texts, size=None):
        return [np.linspace(1, 2, image[..., 0].size, dtype=np.float32).reshape(image.shape[:2]) for image in images]


def log_scale(disparity, truth, valid):
    valid = valid & np.isfinite(disparity) & (disparity > 0)
    logs = np.log(truth[valid] * disparity[valid])
    return float(np.exp(-np.mean(logs))) if logs.size else 0.0, 0.0


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three pictures whose depth is the plane, and twice and thrice the ramp; the parts are known while it is there."""
    module = ModuleType("toy")
    module.Toy = Toy
    monkeypatch.setitem(sys.modules, f"{readers.__name__}.toy", module)
    monkeypatch.setitem(readers.READERS, "toy", "Toy")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "flat_plane", ModuleType("flat_plane"))  # so that it is forgotten afterwards
    # at the end: which kind is registered first is up to the order of imports, and must not matter
    monkeypatch.setattr("tr2m_plugin.benchmark.estimators.ESTIMATORS", [*ESTIMATORS, Ramp])
    monkeypatch.setitem(ALIGNMENTS, "log_mean", AlignmentKind("Log mean", log_scale))
    (tmp_path / "toy.yaml").write_text("depth_range: [0.1, 10]\n")
    (tmp_path / "list.txt").write_text("a\nb\nc\n")
    (tmp_path / "flat_plane.py").write_text(PLANE)
    ramp = np.linspace(1, 2, 48, dtype=np.float32).reshape(6, 8)
    for name, depth in (("a", np.full((6, 8), 3, np.float32)), ("b", 2 * ramp), ("c", 3 * ramp)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((6, 8, 3), np.uint8))
        np.save(tmp_path / f"{name}.npy", 2 * depth)
    return tmp_path


def test_a_new_dataset_is_verified_and_shown_by_the_command(folder, capsys):
    how = ["--protocol", str(folder)]
    assert main(["data", "verify", "toy", str(folder), *how]) == 0
    assert "test: 100.0% of the pixels have depth, 2 to 6 m; 100.0% are in" in capsys.readouterr().out
    assert main(["data", "show", "toy", str(folder), "c", *how, "--out", str(folder / "c_shown.png")]) == 0
    assert cv2.imread(str(folder / "c_shown.png")).shape[1] > 8


def test_new_parts_are_measured_by_the_command(folder):
    models = ["--model", f"{folder / 'flat_plane.py'}:Plane", "ramp", "--alignment", "log_mean"]
    how = ["--datasets", f"toy={folder}", "--protocol", str(folder), "--out", str(folder / "out"), "--no-pictures"]
    assert main(["evaluate", *models, *how, "--workers", "0", "--device", "cpu"]) == 0
    metrics = json.loads((folder / "out" / "metrics.json").read_text())
    assert set(metrics) == {"Plane", "Plane log mean", "ramp log mean"}
    assert metrics["ramp log mean"]["alignment"] == "log_mean"
    with (folder / "out" / "per_image.csv").open() as file:
        found = {(row["method"], row["sample_id"]): float(row["abs_rel"]) for row in csv.DictReader(file)}
    exact = [("Plane", "a"), ("Plane log mean", "a"), ("ramp log mean", "b"), ("ramp log mean", "c")]
    assert [found[one] for one in exact] == pytest.approx([0] * 4, abs=1e-5)
    assert found["Plane", "b"] > 0.1
