"""Child registries of MMEngine's, so that `type='tr2m_plugin.X'` works in every OpenMMLab config."""

from collections.abc import Mapping
from typing import Any

from mmengine import registry as _mmengine
from mmengine.registry import Registry

SCOPE = "tr2m_plugin"


def _child(name: str, parent: Registry, *modules: str) -> Registry:
    """A registry that imports the modules registering in it when it is first asked."""
    return Registry(name, parent=parent, scope=SCOPE, locations=[f"tr2m_plugin.{module}" for module in modules])


def scoped(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config whose types, nested ones too, are looked up here first, whatever package set the default scope."""
    return {"_scope_": SCOPE, **config}


MODELS = _child("model", _mmengine.MODELS, "models", "losses")
DATASETS = _child("dataset", _mmengine.DATASETS, "datasets.table_dataset")
TRANSFORMS = _child("transform", _mmengine.TRANSFORMS, "datasets.transforms")
METRICS = _child("metric", _mmengine.METRICS, "evaluation.depth_metric")
HOOKS = _child("hook", _mmengine.HOOKS, "hooks")
INFERENCERS = _child("inferencer", _mmengine.INFERENCERS, "inference.inferencer")

# MMEngine warns about a scope that some of its registries do not know, so we are known to all of them.
for _registry in list(vars(_mmengine).values()):
    if isinstance(_registry, Registry) and SCOPE not in _registry.children:
        _child(_registry.name, _registry)
