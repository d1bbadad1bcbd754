"""Child registries of MMEngine's, so that `type='tr2m_plugin.X'` works in every OpenMMLab config."""

from mmengine import registry as _mmengine
from mmengine.registry import Registry

SCOPE = "tr2m_plugin"


def _child(name: str, parent: Registry, *modules: str) -> Registry:
    """A registry that imports the modules registering in it when it is first asked."""
    return Registry(name, parent=parent, scope=SCOPE, locations=[f"tr2m_plugin.{module}" for module in modules])


MODELS = _child("model", _mmengine.MODELS, "models", "losses")
DATASETS = _child("dataset", _mmengine.DATASETS, "datasets.table_dataset")
TRANSFORMS = _child("transform", _mmengine.TRANSFORMS, "datasets.transforms")
METRICS = _child("metric", _mmengine.METRICS, "evaluation.depth_metric")
HOOKS = _child("hook", _mmengine.HOOKS, "hooks")
INFERENCERS = _child("inferencer", _mmengine.INFERENCERS, "inference.inferencer")

for _name, _parent in (
    ("log_processor", _mmengine.LOG_PROCESSORS),
    ("visualizer", _mmengine.VISUALIZERS),
    ("vis_backend", _mmengine.VISBACKENDS),
    ("loop", _mmengine.LOOPS),
):
    _child(_name, _parent)  # nothing of ours registers here; without them MMEngine warns about the scope
