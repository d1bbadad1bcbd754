"""A folder of somebody's own pictures, and small trees of published datasets."""

import cv2
import numpy as np
import pytest
import yaml

from tests.support import tree_ibims, tree_nyu
from tests.support.evaluating import MINE


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """Five pictures, one of them without valid depth; and a file that names the folder."""
    folder = tmp_path_factory.mktemp("mine")
    rng = np.random.default_rng(0)
    for number in range(5):
        cv2.imwrite(str(folder / f"{number}_rgb.png"), rng.integers(0, 255, (60, 80, 3), np.uint8))
        depth = rng.integers(500, 7000, (60, 80)).astype(np.uint16) * (number != 3)
        cv2.imwrite(str(folder / f"{number}_depth.png"), depth.astype(np.uint16))
    (folder / "roots.yaml").write_text(yaml.safe_dump({"mine": {**MINE, "root": str(folder)}}))
    return folder


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    base = tmp_path_factory.mktemp("published")
    tree_nyu.make(base / "nyu", train=0, test=2)
    (base / "ibims").mkdir()
    tree_ibims.make(base / "ibims", test=1)
    return base


@pytest.fixture
def lab(tmp_path):
    """A folder of one's own with three pictures."""
    for name in ("desk", "lamp", "sub/shelf"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(f"{tmp_path / name}_rgb.png", np.zeros((6, 8, 3), np.uint8))
        cv2.imwrite(f"{tmp_path / name}_depth.png", np.full((6, 8), 1000, np.uint16))
    return tmp_path
