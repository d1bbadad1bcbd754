import numpy as np
import pytest
import torch

from tr2m_plugin.evaluation.class_separation import class_separation
from tr2m_plugin.losses import depth_classes, reduce_classes


def twin(features, classes):
    """Pair by pair."""
    cells = features.reshape(len(features), -1).T
    same, other = [], []
    for i, a in enumerate(cells):
        for j, b in enumerate(cells):
            if i != j and classes[i] >= 0 and classes[j] >= 0:
                cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
                (same if classes[i] == classes[j] else other).append(cosine)
    return np.mean(same) - np.mean(other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_equals_the_mean_over_pairs(dtype):
    torch.manual_seed(0)
    features, depth = torch.randn(3, 7, 4, 5).to(dtype), torch.rand(3, 1, 12, 15) * 4
    depth[0, 0, :6] = 0
    found = class_separation(features, depth, num_classes=4)
    for image, value in enumerate(found.tolist()):
        classes = reduce_classes(depth_classes(depth[:, 0], 4), (4, 5))[image].flatten().tolist()
        assert value == pytest.approx(twin(features[image].double().numpy(), classes), abs=1e-9)


def test_features_that_are_the_class_are_wholly_apart():
    depth = torch.tensor([1.0, 1, 1, 2, 2, 2]).view(1, 1, 2, 3)
    features = torch.nn.functional.one_hot(depth.long().flatten() - 1).float().T.reshape(1, 2, 2, 3)
    assert class_separation(features, depth).item() == pytest.approx(1)


def test_without_pairs_there_is_no_number():
    assert class_separation(torch.ones(1, 2, 2, 2), torch.ones(1, 1, 2, 2)).isnan().all()
    assert class_separation(torch.ones(1, 2, 2, 2), torch.zeros(1, 1, 2, 2)).isnan().all()
