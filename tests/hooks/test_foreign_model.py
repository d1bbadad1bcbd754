"""The three lines of config, on a depth estimator in mmseg's style that is not ours and knows nothing of us."""

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.model import BaseDataPreprocessor, BaseModel, BaseModule
from mmengine.registry import DATASETS, MODELS
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement, PixelData
from torch import nn

THREE_LINES = """
custom_imports = dict(imports=["tr2m_plugin"])
custom_hooks = [dict(type="tr2m_plugin.SOCHook", feature="backbone.stages.3", in_channels=32)]
"""
CONFIG = """
model = dict(
    type="SomebodysEstimator",
    data_preprocessor=dict(type="SomebodysPreProcessor"),
    backbone=dict(type="SomebodysBackbone", channels=(4, 8, 16, 32)),
    decode_head=dict(type="SomebodysHead", in_channels=32),
)
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(type="SomebodysDataset"),
    collate_fn=dict(type="pseudo_collate"),
)
train_cfg = dict(type="IterBasedTrainLoop", max_iters=3)
optim_wrapper = dict(optimizer=dict(type="AdamW", lr=1e-3))
default_hooks = dict(logger=dict(type="LoggerHook", interval=1))
randomness = dict(seed=0)
"""


class SegDataSample(BaseDataElement):
    """As mmseg's, which holds `gt_depth_map` for depth estimators."""


@DATASETS.register_module()
class SomebodysDataset(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, i):
        generator = torch.Generator().manual_seed(i)
        sample = SegDataSample(metainfo={"ori_shape": (64, 96)})
        # Smooth, as depth is: over noise, every cell's nearest pixel would be of the same class.
        sample.gt_depth_map = PixelData(data=torch.linspace(1, 5 + i, 64)[None, :, None].expand(1, 64, 96))
        return {"inputs": torch.randint(0, 256, (3, 64, 96), generator=generator), "data_samples": sample}


@MODELS.register_module()
class SomebodysPreProcessor(BaseDataPreprocessor):
    def forward(self, data, training=False):
        data = self.cast_data(data)
        return {"inputs": torch.stack(data["inputs"]).float() / 255, "data_samples": data["data_samples"]}


@MODELS.register_module()
class SomebodysBackbone(BaseModule):
    def __init__(self, channels):
        super().__init__()
        widths = [3, *channels]
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 2, stride=2), nn.BatchNorm2d(b), nn.ReLU())
            for a, b in zip(widths, channels, strict=False)
        )

    def forward(self, x):
        out = []
        for stage in self.stages:
            x = stage(x)
            out.append(x)
        return tuple(out)


@MODELS.register_module()
class SomebodysHead(BaseModule):
    def __init__(self, in_channels):
        super().__init__()
        self.conv_depth = nn.Conv2d(in_channels, 1, 1)

    def forward(self, features):
        return self.conv_depth(features[-1])

    def loss(self, features, data_samples):
        truth = torch.stack([sample.gt_depth_map.data for sample in data_samples])
        depth = nn.functional.interpolate(self(features), truth.shape[-2:])
        return {"loss_depth": nn.functional.l1_loss(depth, truth)}


@MODELS.register_module()
class SomebodysEstimator(BaseModel):
    def __init__(self, backbone, decode_head, data_preprocessor):
        super().__init__(data_preprocessor)
        self.backbone = MODELS.build(backbone)
        self.decode_head = MODELS.build(decode_head)

    def forward(self, inputs, data_samples=None, mode="tensor"):
        features = self.backbone(inputs)
        if mode == "loss":
            losses = self.decode_head.loss(features, data_samples)
            return {f"decode.{name}": value for name, value in losses.items()}
        return self.decode_head(features)


def train(tmp_path, lines):
    path = tmp_path / "config.py"
    path.write_text(CONFIG + lines)
    config = Config.fromfile(path)
    config.work_dir, config.experiment_name = str(tmp_path), f"foreign{bool(lines)}"
    runner = Runner.from_cfg(config)
    runner.train()
    return runner


def test_three_lines_of_config(tmp_path):
    with_it, without = train(tmp_path, THREE_LINES), train(tmp_path, "")
    assert with_it.message_hub.get_scalar("train/loss_soc").current() > 0
    assert with_it.message_hub.get_scalar("train/decode.loss_depth").current() > 0
    assert "train/loss_soc" not in without.message_hub.log_scalars
    first, second = (dict(runner.model.backbone.named_parameters()) for runner in (with_it, without))
    assert not torch.equal(first["stages.0.0.weight"], second["stages.0.0.weight"]), "it reaches the whole encoder"
    batch = with_it.model.data_preprocessor(pseudo_collate([SomebodysDataset()[0]]))
    assert with_it.model.eval()(**batch).shape == (1, 1, 4, 6)
