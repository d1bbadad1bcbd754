"""Child registries of MMEngine's, so that `type='tr2m_plugin.X'` works in every OpenMMLab config."""

from mmengine import registry as _mmengine
from mmengine.registry import Registry

_SCOPE = "tr2m_plugin"

MODELS = Registry("model", parent=_mmengine.MODELS, scope=_SCOPE, locations=["tr2m_plugin.models", "tr2m_plugin.losses"])
DATASETS = Registry("dataset", parent=_mmengine.DATASETS, scope=_SCOPE, locations=["tr2m_plugin.datasets"])
TRANSFORMS = Registry("transform", parent=_mmengine.TRANSFORMS, scope=_SCOPE, locations=["tr2m_plugin.datasets"])
METRICS = Registry("metric", parent=_mmengine.METRICS, scope=_SCOPE, locations=["tr2m_plugin.evaluation"])
HOOKS = Registry("hook", parent=_mmengine.HOOKS, scope=_SCOPE, locations=["tr2m_plugin.hooks"])
INFERENCERS = Registry("inferencer", parent=_mmengine.INFERENCERS, scope=_SCOPE, locations=["tr2m_plugin.inference"])
