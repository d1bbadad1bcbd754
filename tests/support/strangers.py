"""Depth models as strangers write them: MMEngine's in name, each with habits of its own."""

import torch
from mmengine.model import BaseModel
from torch import nn

from tests.support.somebodys_model import Pictures


class Net(nn.Module):
    """A plain network."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.ReLU())
        self.decoder = nn.Conv2d(6, 1, 1)

    def forward(self, image):
        return self.decoder(self.encoder(image))


def distance(depth, truth):
    return (depth - nn.functional.interpolate(truth, depth.shape[-2:])).abs().mean()


class DictPictures(Pictures):
    """Pictures and depth by names of their own, depth in an array."""

    def __getitem__(self, i):
        item = super().__getitem__(i)
        return {"image": item["inputs"], "depth": item["data_samples"].gt_depth_map.data.numpy()}


def batch(data):
    """Pictures and depth of a list of items, as tensors."""
    return torch.stack(data["image"]), torch.stack([torch.as_tensor(depth) for depth in data["depth"]])


class CallsLoss(BaseModel):
    """Wraps a network; its train_step calls a method `loss`."""

    def __init__(self):
        super().__init__()
        self.net = Net()

    def forward(self, image, depth=None, mode="tensor"):
        image = torch.stack(list(image))
        return self.loss(image, depth) if mode == "loss" else self.net(image)

    def loss(self, image, depth):
        return {"loss_l1": distance(self.net(image), torch.stack([torch.as_tensor(d) for d in depth]))}

    def train_step(self, data, optim_wrapper):
        losses = self.loss(torch.stack(data["image"]), data["depth"])
        total, log = self.parse_losses(losses)
        optim_wrapper.update_params(total)
        return log


class CallsItself(CallsLoss):
    """Its train_step calls the model."""

    def train_step(self, data, optim_wrapper):
        total, log = self.parse_losses(self(**data, mode="loss"))
        optim_wrapper.update_params(total)
        return log


class TakesOne(CallsLoss):
    """Its train_step trains on the loss that it knows."""

    def train_step(self, data, optim_wrapper):
        losses = self(**data, mode="loss")
        optim_wrapper.update_params(losses["loss_l1"])
        return losses


class ReturnsDepth(BaseModel):
    """Its forward knows no mode and returns depth."""

    def __init__(self):
        super().__init__()
        self.net = Net()

    def forward(self, image):
        return self.net(image)

    def train_step(self, data, optim_wrapper):
        image, truth = batch(data)
        total, log = self.parse_losses({"loss_l1": distance(self(image), truth)})
        optim_wrapper.update_params(total)
        return log


class Transformer(BaseModel):
    """Tokens behind a class token, depth in a dict of targets; its only loss is called `loss`."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, 12, 2, stride=2)
        self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(12, 2, 16, 0.0, batch_first=True) for _ in range(2))
        self.head = nn.Linear(12, 1)

    def forward(self, pixel_values, targets=None, mode="tensor"):
        tokens = self.patches(torch.stack(list(pixel_values))).flatten(2).transpose(1, 2)
        tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], 1)
        for block in self.blocks:
            tokens = block(tokens)
        depth = self.head(tokens[:, 1:]).transpose(1, 2).unflatten(2, (8, 10))
        return {"loss": distance(depth, torch.stack(targets["depth"]))} if mode == "loss" else depth


class TargetPictures(Pictures):
    def __getitem__(self, i):
        item = super().__getitem__(i)
        return {"pixel_values": item["inputs"], "targets": {"depth": item["data_samples"].gt_depth_map.data}}
