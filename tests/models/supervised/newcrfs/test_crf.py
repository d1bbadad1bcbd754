import numpy as np
import pytest
import torch

from tr2m_plugin.models.supervised.newcrfs.crf import (
    NeuralWindowCRFs,
    from_windows,
    relative_positions,
    shift_mask,
    to_windows,
)
from tr2m_plugin.models.supervised.newcrfs.weights import convert_names


@pytest.mark.parametrize("case", ["a", "b", "c"])
def test_gives_the_authors_numbers(data, case):
    """Shapes that need padding, and a block without projections."""
    arrays = np.load(data / "newcrfs" / "newcrf_block_ref.npz")
    features, channels, potential, heads = (int(n) for n in arrays[f"{case}.cfg"])
    net = NeuralWindowCRFs(features, channels, potential, heads)
    prefix = f"{case}.w."
    state = {f"crf0.{n[len(prefix) :]}": torch.from_numpy(arrays[n]) for n in arrays.files if n.startswith(prefix)}
    net.load_state_dict({name.removeprefix("levels.0."): value.float() for name, value in convert_names(state).items()})
    x, v, y = (torch.from_numpy(arrays[f"{case}.{name}"]).float() for name in "xvy")
    with torch.no_grad():
        torch.testing.assert_close(net(x, v), y, rtol=1e-5, atol=1e-5)


def test_windows_and_back():
    x = torch.arange(2 * 14 * 21 * 3.0).view(2, 14, 21, 3)
    windows = to_windows(x, 7)
    assert windows.shape == (2, 6, 49, 3)
    assert torch.equal(windows[0, 1, 0], x[0, 0, 7])
    assert torch.equal(from_windows(windows, 7, 14, 21), x)


def test_relative_positions_pixel_by_pixel():
    table = relative_positions(3)
    for i in range(9):
        for j in range(9):
            down, right = i // 3 - j // 3 + 2, i % 3 - j % 3 + 2
            assert table[i, j] == down * 5 + right


def test_the_mask_parts_what_the_shift_brought_together():
    """Pixels may talk when the shift moved them from places that were near before it."""
    window, shift, height, width = 4, 2, 8, 12
    mask = shift_mask(height, width, window, shift, torch.device("cpu"))[:, 0]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    origin = torch.stack([(rows + shift) % height, (columns + shift) % width], -1)[None]
    for allowed, where in zip(mask == 0, to_windows(origin, window)[0], strict=True):
        near = ((where[:, None] - where[None]).abs() < window).all(-1)
        assert torch.equal(allowed, near)
