"""What a GPU gives, against the processor: `TR2M_TEST_GPU=1 python -m pytest tests/test_gpu.py`."""

import json

import cv2
import numpy as np
import pytest
import torch
import yaml

from pipelines import embed_text, relative_depth
from pipelines.params import Stage
from tests.support.recipes import few, tiny
from tr2m_plugin import TR2MInferencer
from tr2m_plugin.cli import main
from tr2m_plugin.datasets.arrays import find_arrays, read_array
from tr2m_plugin.datasets.parquet import read_text_features
from tr2m_plugin.tools.train import train

GPU = "cuda"

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU, or TR2M_TEST_GPU is not set")


@pytest.fixture(scope="module")
def picture():
    noise = np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8)
    return cv2.resize(noise, (320, 240), interpolation=cv2.INTER_CUBIC)


def recipe(world, work_dir, iterations, **options):
    config = few(tiny("tr2m_mini.py", world, work_dir, **options), iterations)
    config.val_dataloader = config.val_cfg = config.val_evaluator = None
    config.default_hooks.checkpoint.update(save_best=None, rule=None)
    config.param_scheduler[0].end = config.param_scheduler[1].begin = 2
    return config


def losses(runner):
    names = ("loss_si", "loss_pseudo", "loss_soc", "loss_smooth")
    return {name: float(runner.message_hub.get_scalar(f"train/{name}").current()) for name in names}


def test_depth_is_the_processors(picture):
    text = "A small room with a chair."
    found = {}
    for device in ("cpu", GPU):
        (found[device],) = TR2MInferencer("tr2m_mini", device=device, show_progress=False)(picture, text=text)
    np.testing.assert_allclose(found[GPU].depth, found["cpu"].depth, rtol=5e-3)


@pytest.mark.parametrize("dtype", [None, "float16", "bfloat16"])
def test_it_trains_with_the_contrast(world, tmp_path, dtype):
    options = {"optim_wrapper.type": "mmengine.AmpOptimWrapper", "optim_wrapper.dtype": dtype} if dtype else {}
    runner = train(recipe(world, tmp_path, 4, **options))
    assert next(runner.model.parameters()).device.type == GPU
    assert all(np.isfinite(value) and value > 0 for value in losses(runner).values())
    assert all(torch.isfinite(p).all() for p in runner.model.parameters())


def test_it_resumes(world, tmp_path):
    whole = train(recipe(world, tmp_path / "whole", 6))
    train(recipe(world, tmp_path / "parts", 3))
    parts = train(recipe(world, tmp_path / "parts", 6), resume=True)
    assert losses(parts) == pytest.approx(losses(whole), rel=1e-3)


def test_stages_make_the_processors_arrays(world, tmp_path):
    for folder in ("world", "index.parquet", "descriptions.parquet"):
        (tmp_path / folder).symlink_to(world / folder)
    model = {"pretrained": "mini_depth_anything", "size": [112, 140]}
    relative_depth.stage(Stage("gpu", {"model": model, "workers": 0, "device": GPU}, tmp_path))
    embedder = {"type": "CLIPTextEncoder", "pretrained": "mini_clip_text"}
    embed_text.stage(Stage("gpu", {"model": embedder, "device": GPU}, tmp_path))
    ours, theirs = (find_arrays(root / "relative_depth") for root in (tmp_path, world))
    assert ours.keys() == theirs.keys()
    for name in list(ours)[::5]:
        first, second = read_array(ours[name]).astype(np.float32), read_array(theirs[name]).astype(np.float32)
        np.testing.assert_allclose(first, second, rtol=1e-2, atol=1e-2 * second.max())
    (texts, ours), (same, theirs) = (read_text_features(root / "text_features.parquet") for root in (tmp_path, world))
    assert texts == same
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_evaluation_measures_the_same(tmp_path, picture):
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}_rgb.png"), np.roll(picture, 50 * number, 1))
        depth = np.linspace(500, 7000, 240 * 320).reshape(240, 320).astype(np.uint16)
        cv2.imwrite(str(tmp_path / f"{number}_depth.png"), depth)
    folder = {"type": "RGBDFolder", "root": str(tmp_path), "image": "*_rgb.png", "depth": "*_depth.png"}
    options = {"depth_scale": 0.001, "unit": "m", "depth_range": [0.3, 8]}
    roots = tmp_path / "roots.yaml"
    roots.write_text(yaml.safe_dump({"mine": {**folder, **options}}))
    numbers = {}
    for device in ("cpu", GPU):
        common = ["--roots", str(roots), "--text", "A room.", "--out", str(tmp_path / device), "--no-pictures"]
        model = ["--model", "tr2m_mini", "mini_depth_anything", "--alignment", "median"]
        assert main(["evaluate", *model, *common, "--device", device, "--workers", "0"]) == 0
        metrics = json.loads((tmp_path / device / "metrics.json").read_text())
        numbers[device] = [entry["datasets"]["mine"]["abs_rel"] for entry in metrics.values()]
    assert len(numbers["cpu"]) == 3
    assert numbers[GPU] == pytest.approx(numbers["cpu"], rel=5e-3)
