"""MaskDINO for inference (Li et al., "Mask DINO", CVPR 2023), on transformers' encoders.

Written from the paper and from facts about the authors' code (IDEA-Research/MaskDINO, Apache-2.0), whose numbers it
gives; the authors' weights load through `weights.load_maskdino`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tr2m_plugin.description.maskdino.attention import (
    DeformableAttention,
    grid_encoding,
    pixel_centres,
    sine_encoding,
)
from tr2m_plugin.errors import InputError

BoxInit = Literal["no", "mask2box", "bitmask"]
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
STRIDE = 32
"""What images are padded to multiples of."""


class Sizes(NamedTuple):
    """Everything about the network that its weights' shapes tell.

    Attributes:
        encoder_channels: numbers of channels of the encoder's four stages.
        features: how many of its stages, the last ones, the pixel decoder takes.
        levels: how many levels it makes of them; the further ones are made from the last stage.
        fine_first: the order of the levels, the authors' `low2high`.
        channels: inside; classes: of objects; mask_channels: of the mask embedding.
        heads: number of heads of attention; encoder_layers, decoder_layers; encoder_ffn, decoder_ffn: widths.
    """

    encoder_channels: tuple[int, ...]
    features: int
    levels: int
    fine_first: bool
    channels: int
    classes: int
    mask_channels: int
    heads: int
    encoder_layers: int
    decoder_layers: int
    encoder_ffn: int
    decoder_ffn: int


def inverse_sigmoid(x: Tensor, eps: float = 1e-5) -> Tensor:
    """The logit of x, kept finite."""
    x = x.clamp(0, 1)
    return (x.clamp(min=eps) / (1 - x).clamp(min=eps)).log()


class MLP(nn.Module):
    """Linear layers with ReLUs between them."""

    def __init__(self, inputs: int, hidden: int, outputs: int, layers: int = 3) -> None:
        super().__init__()
        widths = [inputs, *[hidden] * (layers - 1), outputs]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)


class EncoderLayer(nn.Module):
    """Deformable self-attention over all levels, then a feed-forward network; normalised after each."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.self_attn = DeformableAttention(sizes.channels, sizes.levels, sizes.heads)
        self.norm1 = nn.LayerNorm(sizes.channels)
        self.linear1 = nn.Linear(sizes.channels, sizes.encoder_ffn)
        self.linear2 = nn.Linear(sizes.encoder_ffn, sizes.channels)
        self.norm2 = nn.LayerNorm(sizes.channels)

    def forward(self, x: Tensor, position: Tensor, centres: Tensor, shapes: Sequence[tuple[int, int]]) -> Tensor:
        x = self.norm1(x + self.self_attn(x + position, centres, x, shapes))
        return self.norm2(x + self.linear2(F.relu(self.linear1(x))))


class PixelDecoder(nn.Module):
    """From the encoder's stages to the levels that queries look at, and to the map that masks are cut from.

    Args:
        sizes: sizes of the network.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        channels = sizes.channels
        stages = sizes.encoder_channels[-sizes.features :]
        inputs = list(stages if sizes.fine_first else stages[::-1])
        further = [stages[-1], *[channels] * sizes.levels][: sizes.levels - sizes.features]
        self.input_proj = nn.ModuleList(
            [
                *(nn.Sequential(nn.Conv2d(c, channels, 1), nn.GroupNorm(32, channels)) for c in inputs),
                *(nn.Sequential(nn.Conv2d(c, channels, 3, 2, 1), nn.GroupNorm(32, channels)) for c in further),
            ]
        )
        self.level_embed = nn.Parameter(torch.zeros(sizes.levels, channels))
        self.layers = nn.ModuleList(EncoderLayer(sizes) for _ in range(sizes.encoder_layers))
        fine = sizes.encoder_channels[0]
        self.lateral = nn.Sequential(nn.Conv2d(fine, channels, 1, bias=False), nn.GroupNorm(32, channels))
        self.smooth = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.GroupNorm(32, channels), nn.ReLU()
        )
        self.mask_features = nn.Conv2d(channels, sizes.mask_channels, 1)

    def forward(self, stages: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Mask features (B, M, H/4, W/4) and the levels, (B, C, h, w) each, of the encoder's four stages."""
        count = self.sizes.features
        chosen = list(stages[-count:])
        ordered = chosen if self.sizes.fine_first else chosen[::-1]
        near = [project(stage) for project, stage in zip(self.input_proj, ordered, strict=False)]
        further: list[Tensor] = []
        for project in self.input_proj[count:]:
            further.append(project(further[-1] if further else chosen[-1]))
        # Further levels come in reverse and their positions do not: so the weights were trained.
        near_positions, further_positions = ([tuple(t.shape[-2:]) for t in group] for group in (near, further))
        if self.sizes.fine_first:
            maps, positions = near + further[::-1], near_positions + further_positions
        else:
            maps, positions = further[::-1] + near, further_positions + near_positions
        shapes = [(t.shape[-2], t.shape[-1]) for t in maps]
        x = torch.cat([t.flatten(2).transpose(1, 2) for t in maps], 1)
        position = torch.cat([grid_encoding(h, w, x.shape[-1], x.device) for h, w in positions], 1)
        lengths = torch.tensor([h * w for h, w in shapes], device=x.device)
        position = position + self.level_embed.repeat_interleave(lengths, 0)
        centres = torch.cat([pixel_centres(*size, x.device) for size in shapes])[None]
        for layer in self.layers:
            x = layer(x, position, centres, shapes)
        pixels = x.transpose(1, 2).split([h * w for h, w in shapes], 2)
        levels = [t.unflatten(2, size) for t, size in zip(pixels, shapes, strict=True)]
        finest = levels[0 if self.sizes.fine_first else -1]
        lateral = self.lateral(stages[0])
        up = F.interpolate(finest, lateral.shape[-2:], mode="bilinear", align_corners=False)
        return self.mask_features(self.smooth(lateral + up)), levels


class DecoderLayer(nn.Module):
    """Queries look at each other, then at the levels, then a feed-forward network; normalised after each."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(sizes.channels, sizes.heads, batch_first=True)
        self.norm2 = nn.LayerNorm(sizes.channels)
        self.cross_attn = DeformableAttention(sizes.channels, sizes.levels, sizes.heads)
        self.norm1 = nn.LayerNorm(sizes.channels)
        self.linear1 = nn.Linear(sizes.channels, sizes.decoder_ffn)
        self.linear2 = nn.Linear(sizes.decoder_ffn, sizes.channels)
        self.norm3 = nn.LayerNorm(sizes.channels)

    def forward(
        self, x: Tensor, position: Tensor, boxes: Tensor, memory: Tensor, shapes: Sequence[tuple[int, int]]
    ) -> Tensor:
        placed = x + position
        x = self.norm2(x + self.self_attn(placed, placed, x, need_weights=False)[0])
        x = self.norm1(x + self.cross_attn(x + position, boxes, memory, shapes))
        return self.norm3(x + self.linear2(F.relu(self.linear1(x))))


class Predictor(nn.Module):
    """Chooses the best pixels as queries and refines their classes, boxes and masks.

    Args:
        sizes: sizes of the network.
        num_queries: how many pixels are chosen.
        box_init: the queries' first boxes: `no` takes the pixels' own, `mask2box` and `bitmask` the bounding boxes of
            their first masks, counted in two ways.
    """

    def __init__(self, sizes: Sizes, num_queries: int, box_init: BoxInit) -> None:
        super().__init__()
        channels = sizes.channels
        self.num_queries, self.box_init = num_queries, box_init
        self.enc_output = nn.Linear(channels, channels)
        self.enc_output_norm = nn.LayerNorm(channels)
        self.class_embed = nn.Linear(channels, sizes.classes)
        self.mask_embed = MLP(channels, channels, sizes.mask_channels)
        self.box_embed = MLP(channels, channels, 4)
        self.decoder_norm = nn.LayerNorm(channels)
        self.layers = nn.ModuleList(DecoderLayer(sizes) for _ in range(sizes.decoder_layers))
        self.ref_point_head = MLP(2 * channels, channels, channels, 2)

    def forward(self, levels: Sequence[Tensor], mask_features: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The last layer's predictions, and those of the queries before the first layer."""
        levels = levels[::-1]
        shapes = [(level.shape[-2], level.shape[-1]) for level in levels]
        memory = torch.cat([level.flatten(2).transpose(1, 2) for level in levels], 1)
        x, boxes = self._choose(memory, shapes)
        classes, masks = self._heads(x, mask_features)
        first = {"pred_logits": classes, "pred_boxes": boxes.sigmoid(), "pred_masks": masks}
        if self.box_init != "no":
            boxes = inverse_sigmoid(_bounding_boxes(masks > 0, self.box_init))
        reference = boxes.sigmoid()
        for layer in self.layers:
            before = reference
            x = layer(x, self.ref_point_head(_encode_boxes(reference, x.shape[-1] // 2)), reference, memory, shapes)
            reference = (self.box_embed(x) + inverse_sigmoid(before)).sigmoid()
        # The heads normalise what is normalised already, and the last boxes start from the last layer's input.
        x = self.decoder_norm(x)
        classes, masks = self._heads(x, mask_features)
        boxes = (self.box_embed(x) + inverse_sigmoid(before)).sigmoid()
        return {"pred_logits": classes, "pred_boxes": boxes, "pred_masks": masks}, first

    def _choose(self, memory: Tensor, shapes: Sequence[tuple[int, int]]) -> tuple[Tensor, Tensor]:
        """Features and box logits of the pixels whose best class scores highest."""
        proposals = []
        for number, (height, width) in enumerate(shapes):
            centres = pixel_centres(height, width, memory.device)
            proposals.append(torch.cat((centres, torch.full_like(centres, 0.05 * 2**number)), 1))
        box = torch.cat(proposals)
        inside = ((box > 0.01) & (box < 0.99)).all(1, keepdim=True)
        logits = (box / (1 - box)).log().masked_fill(~inside, torch.inf)
        features = self.enc_output_norm(self.enc_output(memory.masked_fill(~inside, 0)))
        scores = self.class_embed(features).amax(2)
        best = scores.topk(min(self.num_queries, scores.shape[1]), 1).indices[..., None]
        boxes = self.box_embed(features) + logits
        return features.gather(1, best.expand(-1, -1, features.shape[2])), boxes.gather(1, best.expand(-1, -1, 4))

    def _heads(self, x: Tensor, mask_features: Tensor) -> tuple[Tensor, Tensor]:
        x = self.decoder_norm(x)
        return self.class_embed(x), torch.einsum("bqc,bchw->bqhw", self.mask_embed(x), mask_features)


def _encode_boxes(boxes: Tensor, channels: int) -> Tensor:
    """Boxes (B, Q, 4) as y, x, width, height in sines, (B, Q, 4 · channels)."""
    return sine_encoding(boxes[..., [1, 0, 2, 3]], channels).flatten(-2)


def _bounding_boxes(masks: Tensor, kind: BoxInit) -> Tensor:
    """Boxes (B, Q, 4) of masks (B, Q, H, W), as centre and size in 0..1."""
    height, width = masks.shape[-2:]
    limits = []
    for axis, length in ((-2, width), (-1, height)):
        hit = masks.any(axis)
        place = torch.arange(length, device=masks.device)
        low = torch.where(hit, place, 1e8).amin(-1)
        limits.append((low, torch.where(hit, place, 0).amax(-1).to(low.dtype)))
    (left, right), (top, bottom) = limits
    corners = torch.stack((left, top, right, bottom), -1)
    if kind == "bitmask":
        past = corners + corners.new_tensor([0, 0, 1, 1])
        corners = torch.where(masks.flatten(2).any(-1, keepdim=True), past, 0)
    first, last = corners.float().split(2, -1)
    scale = first.new_tensor([width, height])
    return torch.cat(((first + last) / 2 / scale, (last - first) / scale), -1)


class MaskDino(nn.Module):
    """Objects and stuff in a picture: classes, boxes and masks.

    Args:
        encoder: gives `feature_maps` of four stages, as `ResNetBackbone` and `SwinBackbone` of transformers do.
        sizes: sizes of the rest.
        num_queries: objects that are predicted. Default: 300.
        box_init: see `Predictor`. Default: no, as in the panoptic models.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, encoder: nn.Module, sizes: Sizes, num_queries: int = 300, box_init: BoxInit = "no") -> None:
        super().__init__()
        if box_init not in ("no", "mask2box", "bitmask"):
            raise InputError(f"box_init must be 'no', 'mask2box' or 'bitmask', not {box_init!r}")
        self.backbone, self.sizes = encoder, sizes
        self.pixel_decoder = PixelDecoder(sizes)
        self.predictor = Predictor(sizes, num_queries, box_init)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(STD)[:, None, None], persistent=False)
        self.eval()

    @torch.inference_mode()
    def forward(self, image: Tensor) -> dict[str, Any]:
        """Predictions for one picture.

        One at a time and padded no further than needed: the network has no padding masks, and what is padded changes
        what it sees.

        Args:
            image: (3, H, W) RGB, 0 to 255.

        Returns:
            `pred_logits` (1, Q, classes), `pred_boxes` (1, Q, 4) as centre and size in 0..1 of the padded picture,
            `pred_masks` (1, Q, h, w), logits at a quarter of the padded size; `first`, the same three before the first
            decoder layer; `image_size`, (H, W).
        """
        height, width = image.shape[-2:]
        pixels = (image.to(self.mean) - self.mean) / self.std
        padded = F.pad(pixels, (0, -width % STRIDE, 0, -height % STRIDE))[None]
        mask_features, levels = self.pixel_decoder(self.backbone(padded).feature_maps)
        last, first = self.predictor(levels, mask_features)
        return {**last, "first": first, "image_size": (height, width)}
