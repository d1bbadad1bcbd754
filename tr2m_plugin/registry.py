"""Child registries of MMEngine's, so that `type='tr2m_plugin.X'` works in every OpenMMLab config."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from mmengine import registry as _mmengine
from mmengine.registry import Registry

from tr2m_plugin.config_lookup import register_configs
from tr2m_plugin.errors import InputError

SCOPE = "tr2m_plugin"


def _child(name: str, parent: Registry, *modules: str) -> Registry:
    """A registry that imports the modules registering in it when it is first asked."""

    def build(config: Any, *args: Any, registry: Registry, **kwargs: Any) -> Any:
        try:
            return parent.build_func(config, *args, registry=registry, **kwargs)
        except KeyError as error:
            kind = config.get("type") if isinstance(config, Mapping) else None
            if not isinstance(kind, str) or registry.get(kind) is not None:
                raise
            near = get_close_matches(kind, registry.module_dict, n=3, cutoff=0.3) or sorted(registry.module_dict)
            raise InputError(
                f"the config names an unknown {name}, {kind!r}; near it are {', '.join(near)}. One of another package "
                "is found after that package is named in custom_imports"
            ) from error

    locations = [f"tr2m_plugin.{module}" for module in modules]
    return Registry(name, build_func=build, parent=parent, scope=SCOPE, locations=locations)


def scoped(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config whose types, nested ones too, are looked up here first, whatever package set the default scope."""
    return {"_scope_": SCOPE, **config}


MODELS = _child("model", _mmengine.MODELS, "models", "losses")
DATASETS = _child("dataset", _mmengine.DATASETS, "datasets.table_dataset")
DATA_SAMPLERS = _child("data sampler", _mmengine.DATA_SAMPLERS, "datasets.samplers")
TRANSFORMS = _child("transform", _mmengine.TRANSFORMS, "datasets.transforms")
METRICS = _child("metric", _mmengine.METRICS, "evaluation.depth_metric")
HOOKS = _child("hook", _mmengine.HOOKS, "hooks")
FUNCTIONS = _child("function", _mmengine.FUNCTIONS, "hooks")
OPTIM_WRAPPERS = _child("optim_wrapper", _mmengine.OPTIM_WRAPPERS, "optim")
INFERENCERS = _child("inferencer", _mmengine.INFERENCERS, "inference.inferencer")

# MMEngine warns about a scope that some of its registries do not know, so we are known to all of them.
for _registry in list(vars(_mmengine).values()):
    if isinstance(_registry, Registry) and SCOPE not in _registry.children:
        _child(_registry.name, _registry)

register_configs()
