"""`tr2m features` on a model of a stranger's, in the stranger's folder."""

import sys

import pytest
import torch

from tr2m_plugin.benchmark.features import collect_features
from tr2m_plugin.cli import main
from tr2m_plugin.errors import InputError
from tr2m_plugin.evaluation.class_separation import class_separation
from tr2m_plugin.tools.train import load_config, train

MODULE = """
import torch
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS
from torch import nn


@MODELS.register_module()
class HallwayNet(BaseModel):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Conv2d(3, 6, 3, stride=2, padding=1)

    def forward(self, image, targets, mode="tensor"):
        depth = self.encoder(torch.stack(list(image))).mean(1, keepdim=True)
        return {"loss_mean": depth.mean()} if mode == "loss" else depth


@DATASETS.register_module()
class HallwayPictures(torch.utils.data.Dataset):
    def __init__(self, brightness=1.0, rows=16):
        self.brightness, self.rows = brightness, rows

    def __len__(self):
        return 6

    def __getitem__(self, i):
        image = torch.rand(3, self.rows + i * (self.rows == 12), 20, generator=torch.Generator().manual_seed(i))
        depth = (5 - 4 * image.mean(0)).numpy()
        return {"image": self.brightness * image, "targets": {"depth": depth}}


def depth_of(targets):
    return torch.stack([torch.as_tensor(depth)[None] for depth in targets["depth"]])
"""
CONFIG = """
custom_imports = dict(imports=["hallway_{name}"])
model = dict(type="HallwayNet")
train_dataloader = dict(
    batch_size=2,
    num_workers=1,
    persistent_workers=True,
    dataset=dict(type="HallwayPictures"),
    sampler=dict(type="InfiniteSampler", shuffle=True),
    collate_fn=dict(type="pseudo_collate"),
)
optim_wrapper = dict(optimizer=dict(type="SGD", lr=0.1))
custom_hooks = [
    dict(type="tr2m_plugin.SOCHook", feature="encoder", in_channels=6, gt={gt}),
]
"""


@pytest.fixture
def hallway(tmp_path, monkeypatch):
    """A folder with somebody's module and config; its config's path for some `gt`."""
    name = tmp_path.name
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "configs").mkdir()
    (tmp_path / f"hallway_{name}.py").write_text(MODULE.replace("register_module()", "register_module(force=True)"))

    def config(gt, more=""):
        path = tmp_path / "configs" / "mine.py"
        path.write_text(CONFIG.format(name=name, gt=gt) + more)
        return str(path)

    return config


def test_without_validation_data_pipeline_and_our_names(hallway, tmp_path, capsys):
    """The module is found in the current folder, true depth by the hook's gt; whose pictures they are is told."""
    path = hallway('"targets.depth"')
    weights = {"encoder.weight": torch.rand(6, 3, 3, 3), "encoder.bias": torch.rand(6)}
    torch.save({"state_dict": weights}, "mine.pth")
    assert main(["features", path, "mine.pth", "mine.pth", "--pictures", "4", "--method", "pca"]) == 0
    told = capsys.readouterr()
    assert told.err.count("no val_dataloader: the pictures are those of train_dataloader") == 1
    first, second, _ = [line for line in told.out.splitlines() if "INFO" not in line]
    images = torch.stack([torch.rand(3, 16, 20, generator=torch.Generator().manual_seed(i)) for i in range(4)])
    maps = torch.nn.functional.conv2d(images, *weights.values(), stride=2, padding=1)
    depth = 5 - 4 * images.mean(1, keepdim=True)
    assert first.endswith(f"class separation {class_separation(maps, depth).mean():.3f}")
    assert first == second
    found = collect_features(load_config(path), "mine.pth", "encoder", pictures=4)
    torch.testing.assert_close(found.maps, maps)
    torch.testing.assert_close(found.depth, depth)


def test_the_tests_pictures_come_before_the_trainings(hallway):
    more = 'test_dataloader = dict(batch_size=4, dataset=dict(type="HallwayPictures", brightness=0.0), sampler=None)'
    found = collect_features(load_config(hallway('"targets.depth"', more)), None, "encoder", pictures=2)
    assert torch.equal(found.maps[0], found.maps[1]), "both are dark"


@pytest.mark.parametrize("gt", ['dict(type="hallway_{name}.depth_of")', 'lambda targets: targets["depth"][0][None]'])
def test_true_depth_is_the_hooks_function(hallway, tmp_path, gt):
    config = load_config(hallway(gt.replace("{name}", tmp_path.name)))
    found = collect_features(config, None, "encoder", pictures=3)
    known = collect_features(load_config(hallway('"targets.depth"')), None, "encoder", pictures=3)
    assert torch.equal(found.depth, known.depth)
    assert found.depth.shape == (3, 1, 16, 20)


def test_what_is_wrong_is_named(hallway, capsys):
    with pytest.raises(InputError, match=r'without gt_depth_map, .* set `gt` to "targets.depth" or'):
        collect_features(load_config(hallway('"gt_depth_map"')), None, "encoder")
    unequal = 'val_dataloader = dict(dataset=dict(type="HallwayPictures", rows=12))'
    with pytest.raises(InputError, match="features of one size, not 6 × 10, 7 × 10"):
        collect_features(load_config(hallway('"targets.depth"', unequal)), None, "encoder", pictures=3)
    with pytest.raises(InputError, match="no data to take pictures from"):
        collect_features(load_config(hallway('"targets.depth"', "train_dataloader = None")), None, "encoder")
    elsewhere = hallway('"targets.depth"', 'custom_imports = dict(imports=["no_such_module"])')
    assert main(["features", elsewhere, "mine.pth"]) == 2
    assert "Failed to import no_such_module: run it where that module is, or set PYTHONPATH" in capsys.readouterr().err


def test_a_lambda_in_a_config_to_train_is_named(hallway):
    """MMEngine writes the config into its log, where a function cannot stand."""
    config = load_config(hallway("lambda samples: samples"))
    with pytest.raises(InputError, match=r"mine.py: custom_hooks\[0\].gt is a function, .* register it in FUNCTIONS"):
        train(config)
