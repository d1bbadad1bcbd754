"""Which pixels a cell of a feature map sees, and the depth class of a cell."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from tr2m_plugin.errors import InputError

CellClass = Literal["median", "nearest"]
"""Which class of its pixels a cell has."""

Size = tuple[int, int]


def line_cells(length: int, count: int) -> Tensor:
    """The cell of each of `length` lines of pixels when a network makes `count` lines of cells of them.

    A network's strides are whole numbers. Where they divide the picture, cells tile it; where they do not, the last
    cell is cut off (padded convolutions, pooling with `ceil_mode`) or the last lines see no cell (patches, pooling
    without). A power of two that cuts the last cell off is preferred, as convolutional networks have it, then lines
    that are dropped, as vision transformers have it; where no whole stride explains the count, cells are of one size.
    Sizes do not tell where padding puts a convolution's windows: cells of odd kernels, padded at both ends, see half a
    cell further towards the first line.

    Args:
        length: number of lines of pixels.
        count: number of lines of cells, 1 or more.

    Returns:
        int64, (length,), ascending; −1 for lines that no cell sees.
    """
    lines, whole = torch.arange(length), length // count
    if whole and length % count == 0:
        return lines // whole
    # The strides whose last cell is cut off.
    least, most = -(-length // count), -(-length // (count - 1)) - 1 if count > 1 else length
    power = 1 << (least - 1).bit_length()
    if power <= most:
        return lines // power
    if whole and length // whole == count:
        return torch.where(lines < whole * count, lines // whole, -1)
    return lines // least if least <= most else (2 * lines + 1) * count // (2 * length)


def _through(lengths: Sequence[int]) -> Tensor:
    """The last grid's line of every line of the first, through all grids between."""
    cells = torch.arange(lengths[0])
    for length, count in pairwise(lengths):
        step = line_cells(length, count)
        cells = torch.where(cells < 0, -1, step[cells.clamp(min=0)])
    return cells


def reduce_classes(
    classes: Tensor, size: Size, grids: Sequence[Size] = (), cell: CellClass = "median", num_classes: int | None = None
) -> Tensor:
    """A class map at a feature map's size: each cell has a class of the pixels that it sees.

    Sparse depth loses no cell that holds a measurement. The median is the lower one, of the farther depth, where two
    classes are in the middle. The nearest of a cell's pixels covers as many cells, but one near speck decides for all.

    Args:
        classes: (B, H, W) int64 as `depth_classes` gives them: the larger, the nearer; −1 without a measurement.
        size: height and width of the result.
        grids: sizes of what lies between the depth map and the result, such as the picture that the encoder sees and
            its patches, from fine to coarse. Default: none.
        cell: the class that a cell has, median or nearest. Default: median.
        num_classes: the largest class. Default: found among `classes`.

    Returns:
        (B, h, w) int64; −1 for cells without a measurement.

    Example:
        >>> classes = torch.tensor([[[5, 1, 1, -1], [1, 1, -1, -1]]])
        >>> reduce_classes(classes, (1, 2)).tolist(), reduce_classes(classes, (1, 2), cell="nearest").tolist()
        ([[[1, 1]]], [[[5, 1]]])
    """
    if cell not in ("median", "nearest"):
        raise InputError(f"a cell's class is 'median' or 'nearest', not {cell!r}")
    height, width = classes.shape[-2:]
    if height < size[0] or width < size[1]:  # depth that is coarser than the cells: its nearest pixel's class
        finer = [(max(n, old), old) for n, old in zip(size, (height, width), strict=True)]
        rows, columns = ((2 * torch.arange(n, device=classes.device) + 1) * old // (2 * n) for n, old in finer)
        classes, grids = classes[:, rows][:, :, columns], ()
    chains = [[n, *(grid[i] for grid in grids), size[i]] for i, n in enumerate(classes.shape[-2:])]
    rows, columns = (_through(chain) for chain in chains)
    place = torch.where((rows[:, None] < 0) | (columns < 0), -1, rows[:, None] * size[1] + columns).to(classes.device)
    levels = 1 + (int(classes.max()) if num_classes is None else num_classes)
    batch, cells = len(classes), size[0] * size[1]
    image = torch.arange(batch, device=classes.device)[:, None, None] * cells
    # What counts nowhere goes into one more bin.
    bins = torch.where((classes >= 0) & (place >= 0), (image + place) * levels + classes, batch * cells * levels)
    counts = torch.zeros(batch * cells * levels + 1, dtype=torch.int32, device=classes.device)
    counts.index_add_(0, bins.flatten(), torch.ones_like(bins.flatten(), dtype=torch.int32))
    counts = counts[:-1].view(batch, *size, levels)
    total = counts.sum(-1, keepdim=True)
    if cell == "nearest":
        found = levels - 1 - (counts.flip(-1) > 0).int().argmax(-1)
    else:
        found = (2 * counts.cumsum(-1) >= total).int().argmax(-1)
    return torch.where(total[..., 0] > 0, found, -1)
