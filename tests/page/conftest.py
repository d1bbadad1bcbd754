import numpy as np
import pytest

from tr2m_plugin.inference.camera import Intrinsics
from tr2m_plugin.inference.outputs import Prediction
from tr2m_plugin.page.view import View


@pytest.fixture
def said():
    """What a model says of a picture of 30 × 40: 2 m at the left, 4 m at the right."""
    depth = np.full((30, 40), 2, np.float32)
    depth[:, 20:] = 4
    maps = {name: np.ones((30, 40), np.float32) for name in ("scale", "shift", "relative")}
    return Prediction("desk", np.full((30, 40, 3), 90, np.uint8), depth, "m", "A desk.", **maps)


@pytest.fixture
def view(said):
    """A view of it with a camera that is known."""
    return View("desk", said.image, Intrinsics(50, 50, 19.5, 14.5)).measured(said)
