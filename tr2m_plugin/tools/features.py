"""The features that a model contrasts, of a checkpoint: their class separation and a picture of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner
from torch import Tensor

from tr2m_plugin.checkpoint import load_checkpoint, state_of
from tr2m_plugin.errors import InputError
from tr2m_plugin.evaluation.class_separation import class_separation
from tr2m_plugin.hooks.feature import Step, as_map, find_submodule, pick, run_to, watch_size
from tr2m_plugin.structures import stack_maps


class Features(NamedTuple):
    """Features of some pictures, and true depth.

    Attributes:
        maps: (B, C, h, w).
        depth: (B, 1, H, W), 0 = no measurement.
    """

    maps: Tensor
    depth: Tensor

    def separation(self, num_classes: int = 20) -> float:
        """Mean `class_separation` of the pictures that have one."""
        return class_separation(self.maps, self.depth, num_classes).nanmean().item()


def hooked(config: Config) -> dict[str, Any]:
    """The options of the config's SOCHook, empty without one."""
    hooks = [hook for hook in config.get("custom_hooks", []) if str(hook.type).rpartition(".")[2] == "SOCHook"]
    return dict(hooks[0]) if hooks else {}


@torch.no_grad()
def collect_features(
    config: Config, checkpoint: str | Path | None, feature: str, index: Sequence[Step] = (), pictures: int = 16
) -> Features:
    """Runs a config's model, with a checkpoint's weights, on the first pictures of its validation data.

    Args:
        config: a whole MMEngine config.
        checkpoint: file of weights. Default: the model as the config builds it.
        feature: name of the submodule.
        index: which part of its output.
        pictures: how many.

    Raises:
        InputError: there is no such submodule, its output is no map, or the checkpoint holds other weights.
    """
    with DefaultScope.overwrite_default_scope(config.get("default_scope")):
        return _collect(config, checkpoint, feature, index, pictures)


def _collect(
    config: Config, checkpoint: str | Path | None, feature: str, index: Sequence[Step], pictures: int
) -> Features:
    model = MODELS.build(config.model)
    if checkpoint is not None:
        missing, _ = model.load_state_dict(state_of(load_checkpoint(checkpoint), checkpoint), strict=False)
        if missing:
            raise InputError(f"{checkpoint} lacks {len(missing)} tensors of the config's model, such as {missing[0]}")
    model.eval()
    loader = dict(config.val_dataloader, batch_size=1, num_workers=0)
    # Depth at the size of the pictures, as in training.
    loader["dataset"] = {**loader["dataset"], "pipeline": _training_like(config)}
    maps, depths = [], []
    sizes: list[tuple[int, int]] = []
    watch_size(model, feature, sizes.append)
    for number, data in enumerate(Runner.build_dataloader(loader, seed=0)):
        if number == pictures:
            break
        batch = model.data_preprocessor(data, False)
        output = run_to(model, find_submodule(model, feature), (), {**batch, "mode": "loss"})
        depth = stack_maps(batch["data_samples"], "gt_depth_map")
        size = sizes[-1] if sizes else (depth.shape[-2], depth.shape[-1])
        maps.append(as_map(pick(output, index), *size).float())
        depths.append(depth)
    return Features(torch.cat(maps), torch.cat(depths))


def _training_like(config: Config) -> list[dict[str, Any]]:
    """The validation pipeline, in which true depth is resized with the picture."""
    steps = [dict(step) for step in config.val_dataloader.dataset.pipeline]
    for step in steps:
        if step["type"].rpartition(".")[2] == "ResizeDepthInputs":
            step["depth"] = True
    return steps
