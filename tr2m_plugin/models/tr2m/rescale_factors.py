"""RSA's network: two factors for the whole picture from the sentence alone (Zeng et al., "RSA", 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from tr2m_plugin.errors import InputError
from tr2m_plugin.models.tr2m.rescale_net import RescaleMaps
from tr2m_plugin.registry import MODELS
from tr2m_plugin.tensors import at_least_float32


def _layers(widths: Sequence[int], last: bool) -> nn.Sequential:
    """Linear layers of those widths with LeakyReLU between them and, unless they end a network, after them."""
    layers: list[nn.Module] = []
    for i, (inputs, outputs) in enumerate(pairwise(widths)):
        layers.append(nn.Linear(inputs, outputs))
        if not (last and i == len(widths) - 2):
            layers.append(nn.LeakyReLU())
    return nn.Sequential(*layers)


@MODELS.register_module()
class RescaleFactors(BaseModule):
    """Scale and shift from the sentence alone, each one number per picture; takes `RescaleNet`'s place in `TR2M`.

    The layer sizes are those that RSA published (Adonis-galaxy/RSA): text to 512, 512, 512, 256, 256, then, for each
    factor, 256, 128, 128, 64, 1, and an exponential. It fuses no features, so there is nothing for `SOCHook` to hook.

    Args:
        text_channels: T, width of the text embedding. Default: 768 (CLIP ViT-L/14).
        widths: widths of the shared layers. Default: as published.
        head_widths: widths of each factor's layers before the last. Default: as published.
        coef_scale: c of A = c · exp(.). Default: 1, as published.
        coef_shift: c of B = c · exp(.). Default: 1, as published.
        patch_size: patch size of the image encoder, in pixels. Default: 14 (DINOv2).
        init_cfg: MMEngine initialisation.
    """

    def __init__(
        self,
        text_channels: int = 768,
        widths: Sequence[int] = (512, 512, 512, 256, 256),
        head_widths: Sequence[int] = (256, 128, 128, 64),
        coef_scale: float = 1.0,
        coef_shift: float = 1.0,
        patch_size: int = 14,
        init_cfg: dict | None = None,
    ) -> None:
        if patch_size < 1:
            raise InputError(f"patch_size must be 1 or more, not {patch_size}")
        if not widths:
            raise InputError("widths must be one or more widths of layers")
        super().__init__(init_cfg)
        self.coef_scale, self.coef_shift, self.patch_size = coef_scale, coef_shift, patch_size
        self.shared = _layers([text_channels, *widths], last=False)
        self.scale_head = _layers([widths[-1], *head_widths, 1], last=True)
        self.shift_head = _layers([widths[-1], *head_widths, 1], last=True)

    def forward(self, image_features: Tensor, text_features: Tensor, patch_hw: tuple[int, int]) -> RescaleMaps:
        """Predicts the factors, as constant maps.

        Args:
            image_features: not looked at.
            text_features: one embedding per image, (B, 1, T).
            patch_hw: (h, w), how many patches high and wide the image is.
        """
        x = self.shared(text_features[:, 0])
        size = (-1, 1, self.patch_size * patch_hw[0], self.patch_size * patch_hw[1])

        def constant(head: nn.Module, coef: float) -> Tensor:
            return (coef * torch.exp(at_least_float32(head(x))))[..., None, None].expand(size)

        return RescaleMaps(constant(self.scale_head, self.coef_scale), constant(self.shift_head, self.coef_shift), None)
