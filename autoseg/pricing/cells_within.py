"""The best cells within a limit of MACs, exactly: the knapsack of `Cells`, of one path alone.

Without a limit, the highest score is what `decode_cells` returns. The nodes of both cells are
chosen together, since they share the limit.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoseg.architecture import NO_OPERATION, Cell, CellArchitecture, decode_cells
from autoseg.pricing.cell_prices import CellPrices
from autoseg.pricing.kept_edges import node_edges
from autoseg.pricing.trellis_counts import MergedPaths
from autoseg.pricing.within import ROUNDING, Cells

_ONCE = np.ones(1, np.int64)
"""A price holds for all cells of a kind together, and is paid once."""


def decode_cells_within(
    prices: CellPrices, normal: Tensor, reduction: Tensor, *, limit: int
) -> CellArchitecture:
    """Decode the cells with the highest score among those that cost at most so much.

    Args:
        prices: Prices of the space.
        normal: Logits of the normal cell's operations, (num_edges, operations of an edge).
        reduction: Those of the reduction cell.
        limit: The limit, for one image.

    Returns:
        What `decode_cells` returns, if that fits. Of architectures that tie, always the same one.

    Raises:
        ValueError: As `decode_cells` does, and if not even the cheapest architecture fits.
    """
    preferred = decode_cells(prices.space, normal, reduction)
    if prices.cost(preferred) <= limit:
        return preferred
    least = prices.cost(cheapest_cells(prices))
    if least > limit:
        raise ValueError(
            f"decode_cells_within: limit = {limit:,} MACs, but the cheapest architecture of the "
            f"space costs {least:,} MACs."
        )
    cells = _cells(prices, normal, reduction)
    whole = MergedPaths(
        counts=_ONCE[None],
        costs=np.array([prices.fixed]),
        scores=np.zeros(1),
        levels=np.zeros((1, 0), np.int64),
    )
    _, _, score = cells.bounds(whole, limit)
    # What reaches the score that is known is found again.
    found = cells.best(_ONCE, limit - prices.fixed, above=score - ROUNDING)
    assert found is not None
    return _architecture(prices, found.cell)


def cheapest_cells(prices: CellPrices) -> CellArchitecture:
    """Find the cheapest architecture of the space; of equal ones always the same."""
    alphas = (torch.zeros(table.shape) for table in (prices.normal, prices.reduction))
    cells = _cells(prices, *alphas)
    least = cells.least(_ONCE)
    found = cells.best(_ONCE, least, above=-np.inf)
    assert found is not None
    return _architecture(prices, found.cell)


def _cells(prices: CellPrices, normal: Tensor, reduction: Tensor) -> Cells:
    """Put the nodes of both cells into one, those of the reduction cell last."""
    space = prices.space
    operations = space.normal_operations + space.reduction_operations
    tables = [*prices.normal.numpy(), *prices.reduction.numpy()]
    logs = [
        row
        for alpha in (normal, reduction)
        for row in torch.log_softmax(alpha.detach().to("cpu", torch.float64), dim=-1).numpy()
    ]
    columns = _candidates(operations)
    normal_nodes = node_edges(space.num_nodes)
    reduction_nodes = [[space.num_edges + edge for edge in edges] for edges in normal_nodes]
    return Cells(
        _chosen(tables, columns)[:, :, None],
        _chosen(logs, columns),
        nodes=normal_nodes + reduction_nodes,
        operations=[
            [names[index] for index in chosen]
            for names, chosen in zip(operations, columns, strict=True)
        ],
    )


def _candidates(operations: Sequence[Sequence[str]]) -> list[list[int]]:
    """List the columns of each edge other than "none", the last of them again where it has fewer
    than other edges."""
    columns = [
        [index for index, op in enumerate(names) if op != NO_OPERATION] for names in operations
    ]
    most = max(map(len, columns))
    return [[*each, *each[-1:] * (most - len(each))] for each in columns]


def _chosen(rows: Sequence[NDArray], columns: Sequence[Sequence[int]]) -> NDArray:
    return np.stack([row[chosen] for row, chosen in zip(rows, columns, strict=True)])


def _architecture(prices: CellPrices, nodes: Cell) -> CellArchitecture:
    space = prices.space
    return CellArchitecture(
        space=space.name,
        num_cells=space.retrain_num_cells,
        normal=nodes[: space.num_nodes],
        reduction=nodes[space.num_nodes :],
    )
