"""Positions: which pixels a cell of a feature map sees, and whose class it has."""

import doctest

import numpy as np
import pytest
import torch
from torch import nn

from tr2m_plugin.errors import InputError
from tr2m_plugin.losses import ScaleOrientedContrastLoss, cells, depth_classes, line_cells, reduce_classes
from tr2m_plugin.models.projector import SOCProjector


@pytest.mark.parametrize(
    ("length", "count", "expected"),
    [
        (434, 31, [i // 14 for i in range(434)]),  # DINOv2's patches
        (31, 16, [i // 2 for i in range(31)]),  # max pooling with ceil_mode
        (31, 15, [i // 2 if i < 30 else -1 for i in range(31)]),  # and without
        (447, 31, [i // 14 if i < 434 else -1 for i in range(447)]),  # pixels that no patch holds
        (33, 17, [i // 2 for i in range(33)]),  # padded convolutions
        (481, 31, [i // 16 for i in range(481)]),
        (480, 30, [i // 16 for i in range(480)]),
        (10, 7, [int((i + 0.5) * 7 / 10) for i in range(10)]),  # no whole stride: cells of one size
        (5, 5, list(range(5))),
        (7, 1, [0] * 7),
    ],
)
def test_lines_go_to_the_cells_that_see_them(length, count, expected):
    found = line_cells(length, count).tolist()
    assert found == expected
    assert max(found) == count - 1


@pytest.mark.parametrize("stride", [2, 4, 8, 16])
@pytest.mark.parametrize("length", range(97, 131, 3))
def test_strided_convolutions_with_padding(length, stride):
    """Layer on layer of stride 2, as in a ResNet: cell i's middle stays at pixel i · stride."""
    count = length
    for _ in range(int(np.log2(stride))):
        count = (count + 1) // 2
    found = line_cells(length, count)
    if length % count == 0:
        return
    assert found.tolist() == [i // stride for i in range(length)]


@pytest.mark.parametrize("length", range(287, 700, 31))
def test_patches_that_do_not_divide(length):
    """A transformer's patches of 14 pixels drop what is left over, where no padded power of two gives as many."""
    count = nn.Conv1d(1, 1, 14, stride=14)(torch.zeros(1, 1, length)).shape[-1]
    powers = [2**k for k in range(8) if -(-length // 2**k) == count]
    if not powers:
        assert line_cells(length, count).tolist() == [i // 14 if i < 14 * count else -1 for i in range(length)]


def twin(classes, size, grids, cell):
    """Slow: lists of the classes that every cell sees, through every grid."""
    result = np.full((len(classes), *size), -1)
    held = {}
    for image, row, column in np.ndindex(*classes.shape):
        if classes[image, row, column] < 0:
            continue
        place = []
        for axis, line in ((0, row), (1, column)):
            length = classes.shape[1 + axis]
            for grid in [*grids, size]:
                line = -1 if line < 0 else line_cells(length, grid[axis]).tolist()[line]
                length = grid[axis]
            place.append(line)
        if min(place) >= 0:
            held.setdefault((image, *place), []).append(classes[image, row, column])
    for place, found in held.items():
        result[place] = max(found) if cell == "nearest" else sorted(found)[(len(found) - 1) // 2]
    return result


@pytest.mark.parametrize("cell", ["median", "nearest"])
@pytest.mark.parametrize(("size", "grids"), [((3, 4), []), ((2, 3), [(5, 5)]), ((4, 3), [(14, 22), (7, 6)])])
def test_reduced_classes_equal_the_twin(cell, size, grids):
    generator = torch.Generator().manual_seed(0)
    classes = torch.randint(-1, 6, (2, 14, 22), generator=generator)
    classes[torch.rand(classes.shape, generator=generator) < 0.7] = -1
    found = reduce_classes(classes, size, grids, cell)
    assert found.dtype == torch.int64
    np.testing.assert_array_equal(found.numpy(), twin(classes.numpy(), size, grids, cell))
    assert torch.equal(found, reduce_classes(classes, size, grids, cell, num_classes=9))


def test_depth_that_is_coarser_than_the_cells_is_taken_where_it_is():
    classes = torch.tensor([[[1, 2], [3, -1]]])
    assert reduce_classes(classes, (4, 4)).tolist() == [[[1, 1, 2, 2]] * 2 + [[3, 3, -1, -1]] * 2]


def test_another_class_of_a_cell_is_refused():
    with pytest.raises(InputError, match="a cell's class is 'median' or 'nearest', not 'mean'"):
        reduce_classes(torch.zeros(1, 2, 2, dtype=torch.int64), (1, 1), cell="mean")


@pytest.mark.parametrize(("height", "width"), [(434, 560), (350, 1204)])
def test_on_a_ground_plane_the_projectors_cells_have_the_class_of_what_they_see(height, width):
    """NYUv2's and KITTI's inputs, whose odd rows of patches pooling by two cuts off.

    Features are the height of what a patch sees, which the projector's pooling takes the largest of; below the horizon,
    a plane 1.5 m below the camera.
    """
    rows = torch.arange(height, dtype=torch.float64)
    depth = torch.where(rows > height // 3, 1.5 * height / (rows - height // 3).clamp(min=1), 0.0)
    depth = torch.where(depth < 80, depth, 0.0)[None, None, :, None].expand(1, 1, height, width)
    patches = (height // 14, width // 14)
    projector = SOCProjector(1, 1, 1)
    for layer in (projector.reduce, projector.expand):
        nn.init.ones_(layer.weight)
        nn.init.zeros_(layer.bias)
    last = torch.arange(patches[0]).float() * 14 + 13  # the lowest pixel row that a patch sees
    query = projector(last[None, None, :, None].expand(1, 1, *patches)).detach()
    assert query.shape[-2:] == tuple(-(-side // 2) for side in patches)
    found = ScaleOrientedContrastLoss().classes(depth, query.shape[-2:], [(height, width), patches])[0, :, 0]
    classes = depth_classes(depth[:, 0])[0, :, 0]
    for cell, lowest in enumerate(query[0, 0, :, 0].int().tolist()):
        seen = classes[28 * cell : lowest + 1]
        held = seen[seen >= 0].sort().values
        assert found[cell] == (held[(len(held) - 1) // 2] if len(held) else -1), f"row {cell}"


def test_a_speck_does_not_decide_for_its_cell():
    """A hundredth of a cell's pixels near, the rest far: the median is far, the nearest is not."""
    depth = torch.full((1, 1, 28, 28), 10.0)
    depth[0, 0, 3, 3:10], depth[0, 0, 0, 0] = 1.0, 20.0
    median, nearest = (
        ScaleOrientedContrastLoss(cell=cell).classes(depth, (1, 1)).item() for cell in cells.CellClass.__args__
    )
    assert (median, nearest) == (11, 20)


def test_the_example_runs():
    assert doctest.testmod(cells, extraglobs={"torch": torch}) == (0, 2)
