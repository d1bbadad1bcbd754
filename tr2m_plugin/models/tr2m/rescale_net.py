"""The network that predicts a scale map and a shift map from an image and a sentence (paper, section 3.2 and A.3.1)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from tr2m_plugin.errors import InputError
from tr2m_plugin.registry import MODELS
from tr2m_plugin.tensors import at_least_float32

Modalities = Literal["both", "image", "text"]
Maps = Literal["both", "scale", "shift"]


class RescaleMaps(NamedTuple):
    """What `RescaleNet` returns.

    Attributes:
        scale: scale map A, (B, 1, p·h, p·w) with p pixels to a patch, positive.
        shift: shift map B, of the same size, positive.
        fused: fused features F_out, (B, C, h, w); None from a network that fuses none.
    """

    scale: Tensor
    shift: Tensor
    fused: Tensor | None


class QuickGELU(nn.Module):
    """x · sigmoid(1.702 x), the activation of CLIP."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class LayerNorm(nn.LayerNorm):
    """Layer normalisation computed in float32 whatever the input's precision."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float()).to(x.dtype)


class CrossModalFusion(BaseModule):
    """Image tokens look at each other, then at the sentence (eq. 1-2).

    Pre-norm self-attention, pre-norm attention to the text token and a pre-norm MLP, each with a residual
    connection. With a single text token the attention weights are all one, so its query and key get no gradient.

    Args:
        channels: C, width of the image tokens.
        text_channels: T, width of the text embedding; a linear layer and QuickGELU align it when T differs from C.
        num_heads: attention heads.
        modalities: `both`; `image` leaves the sentence out, and the layers that read it; `text` replaces every image
            token by the aligned sentence (paper, Table 5). Default: both.
        init_cfg: MMEngine initialisation.
    """

    def __init__(
        self,
        channels: int,
        text_channels: int,
        num_heads: int,
        modalities: Modalities = "both",
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if modalities not in ("both", "image", "text"):
            raise InputError(f"modalities must be 'both', 'image' or 'text', not {modalities!r}")
        if num_heads < 1 or channels % num_heads:
            raise InputError(f"num_heads must divide the {channels} channels of the image tokens, not {num_heads}")
        self.modalities = modalities
        self.norm_self = LayerNorm(channels)
        self.self_attention = nn.MultiheadAttention(channels, num_heads, batch_first=True)
        # Without a sentence these would be parameters without a gradient, which DistributedDataParallel refuses.
        if modalities != "image":
            self.align: nn.Module = nn.Identity()
            if text_channels != channels:
                self.align = nn.Sequential(nn.Linear(text_channels, channels), QuickGELU())
            self.norm_image = LayerNorm(channels)
            self.norm_text = LayerNorm(channels)
            self.text_attention = nn.MultiheadAttention(channels, num_heads, batch_first=True)
        self.norm_mlp = LayerNorm(channels)
        self.mlp = nn.Sequential(nn.Linear(channels, 4 * channels), QuickGELU(), nn.Linear(4 * channels, channels))

    def forward(self, image: Tensor, text: Tensor) -> Tensor:
        """Fuses image tokens (B, P, C) with a text embedding (B, 1, T) into (B, P, C)."""
        if self.modalities == "image":
            return self._finish(self._attend(image))
        text = self.align(text)
        x = self._attend(text.expand(-1, image.shape[1], -1) if self.modalities == "text" else image)
        y = self.norm_text(text)
        return self._finish(x + self.text_attention(self.norm_image(x), y, y, need_weights=False)[0])

    def _attend(self, x: Tensor) -> Tensor:
        y = self.norm_self(x)
        return x + self.self_attention(y, y, y, need_weights=False)[0]

    def _finish(self, x: Tensor) -> Tensor:
        return x + self.mlp(self.norm_mlp(x))


class ResidualConvUnit(nn.Module):
    """ReLU, 3×3, ReLU, 3×3, plus the input, as in DPT's decoder (Ranftl et al., 2021)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


class MapHead(nn.Module):
    """3×3, resize, 3×3, ReLU, 1×1, then c · exp in float32: one positive map.

    Args:
        channels: number of channels of the input.
        hidden: channels at full resolution.
        coef: c.
        factor: the exponent's mean over the picture takes the place of the map.
    """

    def __init__(self, channels: int, hidden: int, coef: float, factor: bool) -> None:
        super().__init__()
        self.coef, self.factor = coef, factor
        self.reduce = nn.Conv2d(channels, channels // 2, 3, padding=1)
        self.expand = nn.Conv2d(channels // 2, hidden, 3, padding=1)
        self.project = nn.Conv2d(hidden, 1, 1)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        x = F.interpolate(self.reduce(x), size, mode="bilinear", align_corners=True)
        x = F.relu(self.expand(x))
        # A bfloat16 exponent has three digits, of which exp makes a percent of depth.
        with torch.autocast(x.device.type, enabled=False):
            weight, bias = (at_least_float32(p) for p in self.project.parameters())
            exponent = F.conv2d(at_least_float32(x), weight, bias)
        if self.factor:
            exponent = exponent.mean((2, 3), keepdim=True).expand_as(exponent)
        return self.coef * torch.exp(exponent)


@MODELS.register_module()
class RescaleNet(BaseModule):
    """Scale and shift maps from frozen image and text features: the trainable part of TR2M.

    The structure is that of the authors' released head (BeileiCui/TR2M), so that its weights fit; at the default
    sizes it has 18,959,746 parameters.

    Args:
        image_channels: C, width of the image encoder's patch tokens. Default: 1024 (DINOv2 ViT-L).
        text_channels: T, width of the text embedding. Default: 768 (CLIP ViT-L/14).
        out_channels: width after the 1×1 projection. Default: 192.
        features: width of the convolutional trunk. Default: 128.
        num_heads: attention heads. Default: 8.
        head_channels: width of the maps' heads at full resolution. Default: 32.
        coef_scale: c of A = c · exp(.). Default: 0.01.
        coef_shift: c of B = c · exp(.). Default: 0.01.
        modalities: `both`, `image` or `text` (Table 5). Default: both.
        maps: `both`; `scale` sets B = 0, `shift` sets A = c, whose exponent is 0 (Table 11): with A = 1, relative depth
            near 8, as Depth Anything gives it, would leave no depth beyond 0.12 m. Default: both.
        factors: predicts one scale and one shift per picture instead of maps (Table 4, first row, whose network the
            paper does not describe): each head's exponent is averaged over the picture. Default: False.
        patch_size: patch size of the image encoder, in pixels. Default: 14 (DINOv2).
        init_cfg: MMEngine initialisation.
    """

    def __init__(
        self,
        image_channels: int = 1024,
        text_channels: int = 768,
        out_channels: int = 192,
        features: int = 128,
        num_heads: int = 8,
        head_channels: int = 32,
        coef_scale: float = 0.01,
        coef_shift: float = 0.01,
        modalities: Modalities = "both",
        maps: Maps = "both",
        factors: bool = False,
        patch_size: int = 14,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if patch_size < 1:
            raise InputError(f"patch_size must be 1 or more, not {patch_size}")
        if maps not in ("both", "scale", "shift"):
            raise InputError(f"maps must be 'both', 'scale' or 'shift', not {maps!r}")
        self.maps, self.patch_size, self.coef_scale = maps, patch_size, coef_scale
        self.fusion = CrossModalFusion(image_channels, text_channels, num_heads, modalities)
        self.project = nn.Conv2d(image_channels, out_channels, 1)
        self.upsample = nn.ConvTranspose2d(out_channels, out_channels, 2, stride=2)
        self.reduce = nn.Conv2d(out_channels, features, 3, padding=1, bias=False)
        self.unit1, self.mix1 = ResidualConvUnit(features), nn.Conv2d(features, features, 1)
        self.unit2, self.mix2 = ResidualConvUnit(features), nn.Conv2d(features, features, 1)
        self.scale_head = MapHead(features, head_channels, coef_scale, factors) if maps != "shift" else None
        self.shift_head = MapHead(features, head_channels, coef_shift, factors) if maps != "scale" else None

    def forward(self, image_features: Tensor, text_features: Tensor, patch_hw: tuple[int, int]) -> RescaleMaps:
        """Predicts the maps.

        Args:
            image_features: patch tokens, row by row, (B, P, C) with P = h·w.
            text_features: one embedding per image, (B, 1, T).
            patch_hw: (h, w), how many patches high and wide the image is.

        Raises:
            InputError: the number of tokens is not h·w.
        """
        h, w = patch_hw
        if image_features.shape[1] != h * w:
            raise InputError(f"{image_features.shape[1]} image tokens do not make {h} × {w} patches")
        fused = self.fusion(image_features, text_features).transpose(1, 2).unflatten(2, (h, w))
        x = self.reduce(self.upsample(self.project(fused)))
        for unit, mix in ((self.unit1, self.mix1), (self.unit2, self.mix2)):
            x = F.interpolate(mix(unit(x)), scale_factor=2, mode="bilinear", align_corners=True)
        size = (self.patch_size * h, self.patch_size * w)
        full = x.new_ones(x.shape[0], 1, *size)
        scale = full * self.coef_scale if self.scale_head is None else self.scale_head(x, size)
        shift = full * 0 if self.shift_head is None else self.shift_head(x, size)
        return RescaleMaps(scale, shift, fused)
