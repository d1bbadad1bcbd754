import subprocess
import sys

from mmengine.registry import MODELS as ROOT
from mmengine.registry import DefaultScope

from tr2m_plugin.registry import HOOKS, MODELS, scoped
from tr2m_plugin.version import __version__


def test_types_are_found_from_mmengines_registries():
    net = ROOT.build({"type": "tr2m_plugin.SOCProjector", "in_channels": 4})
    assert type(net).__name__ == "SOCProjector"
    assert "SOCHook" in HOOKS


def test_scoped_configs_build_under_another_packages_default_scope():
    config = {"type": "TR2M", "rescale_net": {"type": "RescaleNet", "image_channels": 8, "text_channels": 8}}
    config["rescale_net"] |= {"out_channels": 8, "features": 8, "num_heads": 2}
    with DefaultScope.overwrite_default_scope("mmengine"):
        assert type(MODELS.build(scoped(config)).loss_si).__name__ == "SILogLoss"


def test_importing_the_package_imports_nothing_heavy():
    heavy = "transformers", "ray", "dvc", "matplotlib", "pyarrow", "mmcv"
    code = f"import sys, tr2m_plugin; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert __version__
