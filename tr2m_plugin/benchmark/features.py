"""The features that a model contrasts, of a checkpoint: their class separation and a picture of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner, set_random_seed
from torch import Tensor, nn

from tr2m_plugin.contrast.feature import Step, as_map, aside, find_submodule, pick, run_to, watch_size
from tr2m_plugin.errors import InputError
from tr2m_plugin.evaluation.class_separation import class_separation
from tr2m_plugin.hooks.dry_run import arguments
from tr2m_plugin.hooks.true_depth import TrueDepth, forward_inputs
from tr2m_plugin.state_dicts import fit, read_weights

LOADERS = ("val_dataloader", "test_dataloader", "train_dataloader")


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


def loader_name(config: Config) -> str:
    """Name of the config's loader that pictures come from: validation, or else test, or else training.

    Raises:
        InputError: it has none of them.
    """
    for name in LOADERS:
        if config.get(name) is not None:
            return name
    raise InputError(f"{config.filename} has no data to take pictures from: none of {', '.join(LOADERS)}")


@torch.no_grad()
def collect_features(
    config: Config, checkpoint: str | Path | None, feature: str, index: Sequence[Step] = (), pictures: int = 16
) -> Features:
    """Runs a config's model, with a checkpoint's weights, on the first pictures of its validation data.

    True depth is found as the config's SOCHook finds it. Without validation data those of the test are taken, or else
    the training's, in their order.

    Args:
        config: a whole MMEngine config.
        checkpoint: file of weights. Default: the model as the config builds it.
        feature: name of the submodule.
        index: which part of its output.
        pictures: how many.

    Raises:
        InputError: there is no such submodule, its output is no map, the pictures have no true depth or several sizes,
            or the checkpoint holds other weights.
    """
    with DefaultScope.overwrite_default_scope(config.get("default_scope")):
        return _collect(config, checkpoint, feature, index, pictures)


def _collect(
    config: Config, checkpoint: str | Path | None, feature: str, index: Sequence[Step], pictures: int
) -> Features:
    model = _model(config, checkpoint)
    true_depth = TrueDepth(hooked(config).get("gt", "gt_depth_map"))
    maps, depths = [], []
    sizes: list[tuple[int, int]] = []
    watch_size(model, feature, sizes.append)
    with aside(model):
        set_random_seed(0)  # a training's pictures are as random for one checkpoint as for the next
        for data in islice(Runner.build_dataloader(_loader(config), seed=0), pictures):
            args, kwargs = arguments(model, data)
            output = run_to(model, find_submodule(model, feature), args, kwargs)
            depth = true_depth(forward_inputs(model, args, kwargs))
            size = sizes[-1] if sizes else (depth.shape[-2], depth.shape[-1])
            maps.append(as_map(pick(output, index), *size).float())
            depths.append(depth)
    for what, found in (("features", maps), ("true depth", depths)):
        if len({item.shape[1:] for item in found}) != 1:
            shapes = ", ".join(sorted({" × ".join(map(str, item.shape[2:])) for item in found})) or "none"
            raise InputError(f"pictures must have {what} of one size, not {shapes}: resize them in the dataset")
    return Features(torch.cat(maps), torch.cat(depths))


def _model(config: Config, checkpoint: str | Path | None) -> nn.Module:
    options = dict(config.model)
    if config.get("data_preprocessor") is not None:  # as MMEngine's runner does
        options.setdefault("data_preprocessor", config.data_preprocessor)
    model = MODELS.build(options)
    if checkpoint is not None:
        source, state = read_weights(checkpoint)
        model.load_state_dict(fit(model, state, source, more=True))
    return model


def _loader(config: Config) -> dict[str, Any]:
    """The config's loader of pictures, one by one and in their order."""
    found = config[loader_name(config)]
    loader = {key: value for key, value in found.items() if key in ("dataset", "collate_fn")}
    if isinstance(found.dataset, Mapping) and "pipeline" in found.dataset:
        # Depth at the size of the pictures, as in training.
        loader["dataset"] = {**found.dataset, "pipeline": _training_like(found.dataset["pipeline"])}
    ordered = {"type": "mmengine.DefaultSampler", "shuffle": False}
    return {**loader, "batch_size": 1, "num_workers": 0, "sampler": ordered}


def _training_like(pipeline: Sequence[Any]) -> list[Any]:
    """A validation pipeline, in which true depth is resized with the picture."""
    steps = [dict(step) if isinstance(step, Mapping) else step for step in pipeline]
    for step in steps:
        if isinstance(step, dict) and str(step["type"]).rpartition(".")[2] == "ResizeDepthInputs":
            step["depth"] = True
    return steps
