"""Features as points in a plane, coloured by depth class (paper, Figure 5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from tr2m_plugin.errors import require
from tr2m_plugin.losses import ScaleOrientedContrastLoss
from tr2m_plugin.visualization.depth import DEPTH_COLORS
from tr2m_plugin.visualization.text import write_text


def plane(cells: np.ndarray, method: Literal["tsne", "pca"] = "tsne", seed: int = 0) -> np.ndarray:
    """Places unit features (N, C) in a plane, (N, 2), by scikit-learn's t-SNE (van der Maaten and Hinton) or PCA.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    if method == "pca":
        return (
            require("sklearn.decomposition", "to draw features", "data").PCA(2, random_state=seed).fit_transform(cells)
        )
    tsne = require("sklearn.manifold", "to draw features", "data").TSNE
    return tsne(2, perplexity=min(30, (len(cells) - 1) / 3), init="pca", random_state=seed).fit_transform(cells)


def draw_features(
    named: Mapping[str, tuple[Tensor, Tensor]],
    method: Literal["tsne", "pca"] = "tsne",
    num_classes: int = 20,
    most: int = 3000,
    seed: int = 0,
) -> np.ndarray:
    """One panel per name: every cell of the feature maps a point, in the colour of its depth class.

    Args:
        named: feature maps (B, C, h, w) and true depth (B, 1, H, W) by the panel's title.
        method: how features are placed. Default: tsne.
        num_classes: |C| of eq. 7. Default: 20.
        most: points per panel, drawn at random from all. Default: 3000.
        seed: seed of the draw and of the placing. Default: 0.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    figure = Figure(figsize=(5 * len(named) + 1, 5), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(named), squeeze=False)[0]
    for panel, (title, (maps, depth)) in zip(panels, named.items(), strict=True):
        size = (maps.shape[-2], maps.shape[-1])
        classes = ScaleOrientedContrastLoss(num_classes).classes(depth, size).flatten()
        cells = torch.nn.functional.normalize(maps.float(), dim=1).permute(0, 2, 3, 1).flatten(0, 2)
        measured = np.flatnonzero((classes >= 0).numpy())
        chosen = np.random.default_rng(seed).permutation(measured)[:most]
        points = plane(cells[chosen].numpy(), method, seed)
        # Class 0 is the farthest; colours run from near to far as in depth maps.
        colors = num_classes - classes[chosen].numpy()
        drawn = panel.scatter(*points.T, c=colors, cmap=DEPTH_COLORS, vmin=0, vmax=num_classes, s=6, linewidths=0)
        write_text(panel.set_title, title, 60, 3, fontsize=10)
        panel.set(xticks=[], yticks=[])
    bar = figure.colorbar(drawn, ax=panels, label="depth class", ticks=[0, num_classes], pad=0.02, aspect=30)
    bar.ax.set_yticklabels(["near", "far"])
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
