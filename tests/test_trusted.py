import numpy as np
import pytest
import torch
from torch import nn

from tr2m_plugin.description.listers import MaskDinoLister
from tr2m_plugin.errors import InputError
from tr2m_plugin.models import RelativeDepth
from tr2m_plugin.registry import MODELS
from tr2m_plugin.trusted import PARTS, brief, check_config, check_options, parameters_within


def test_every_part_is_a_class_of_ours_or_the_preprocessor_of_mmengine():
    modules = {MODELS.get(name).__module__.partition(".")[0] for names in PARTS.values() for name in names}
    assert modules == {"tr2m_plugin", "mmengine"}
    assert {n for names in PARTS.values() for n in names if n not in MODELS.module_dict} == set(
        PARTS["data_preprocessor"]
    )


@pytest.mark.parametrize("kind", ["RescaleNet", "tr2m_plugin.RescaleNet"])
def test_honest_configs_pass(kind):
    check_config({"type": kind, "num_heads": 4, "coef_scale": 1, "maps": "scale", "factors": True}, "rescale_net", "x")
    check_config({"type": "RescaleFactors", "widths": (8, 8)}, "rescale_net", "x")
    check_config({"type": "mmengine.ImgDataPreprocessor", "mean": [0, 0.5, 1], "std": None}, "data_preprocessor", "x")


@pytest.mark.parametrize(
    "kind", ["mmengine.RescaleNet", "RescaleNet ", "tr2m_plugin.tr2m_plugin.RescaleNet", nn.Linear]
)
def test_other_names_do_not(kind):
    with pytest.raises(InputError, match=r"x.type must be RescaleNet or RescaleFactors, not .*: data builds nothing"):
        check_config({"type": kind}, "rescale_net", "x")


def test_options_of_the_base_count_and_what_is_needed_is_named():
    check_options(MaskDinoLister, {"weights": "a.pth", "seed": 0, "style": "rsa", "temperature": 0.1}, "x")
    with pytest.raises(InputError, match=r"x\.style must be one of plain, rsa, not 'curly'"):
        check_options(MaskDinoLister, {"weights": "a.pth", "style": "curly"}, "x")
    with pytest.raises(InputError, match="x lacks weights, which MaskDinoLister needs"):
        check_options(MaskDinoLister, {}, "x")
    with pytest.raises(InputError, match="x has no option 'device'; RelativeDepth takes pretrained, size"):
        check_options(RelativeDepth, {"device": "cpu"}, "x")


def test_values_are_one_short_line():
    assert len(brief({"a": ["x\n" * 10**6] * 10**6})) < 200
    assert "\n" not in brief("x\ny")
    assert len(brief(10**4000)) < 100


def test_parameters_are_counted_before_memory_is_touched():
    with parameters_within(110, "too many"):
        nn.Linear(10, 10)
    for width in (11, 10**6, 10**9, 2**31 - 1):
        with pytest.raises(InputError, match="too many"), parameters_within(110, "too many"):
            nn.Linear(width, width)
    with pytest.raises(RuntimeError, match="inconsistent"), parameters_within(110, "too many"):
        torch.zeros(2) @ torch.zeros(3)
    assert nn.Linear(11, 11)(torch.zeros(11)).shape == (11,)


@pytest.mark.parametrize("size", [[5], "ab", [0, 14], [14.0, 14]])
def test_relative_depth_refuses_sizes_before_it_loads(size):
    with pytest.raises(InputError, match="size must be height and width"):
        RelativeDepth("nowhere", size=size)
    assert np.array_equal(RelativeDepth("mini_depth_anything", size=[28, 14]).size, (28, 14))
