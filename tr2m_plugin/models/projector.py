"""The projector of scale-oriented contrast (paper, appendix A.3.1)."""

from __future__ import annotations

from mmengine.model import BaseModule
from torch import Tensor, nn

from tr2m_plugin.registry import MODELS


@MODELS.register_module()
class SOCProjector(BaseModule):
    """Two 1×1 convolutions with a ReLU between them, then max pooling, whose last cells may be cut off.

    At the paper's width of 1024 it has 0.19 M parameters, as stated there; how they are split is not.

    Args:
        in_channels: number of channels of the feature map.
        hidden_channels: between the convolutions. Default: 160.
        out_channels: number of channels of the embedding. Default: 160.
        pool: factor of the max pooling; 1 leaves it out. Default: 2.
        init_cfg: MMEngine initialisation.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int = 160,
        out_channels: int = 160,
        pool: int = 2,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.reduce = nn.Conv2d(in_channels, hidden_channels, 1)
        self.relu = nn.ReLU()
        self.expand = nn.Conv2d(hidden_channels, out_channels, 1)
        self.pool = nn.MaxPool2d(pool, ceil_mode=True) if pool > 1 else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """(B, in_channels, h, w) to (B, out_channels, ⌈h / pool⌉, ⌈w / pool⌉)."""
        return self.pool(self.expand(self.relu(self.reduce(features))))
