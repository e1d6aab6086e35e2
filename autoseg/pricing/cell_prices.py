"""What the operations of a cell space's networks cost, and with it every network."""

from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

from autoseg.architecture import NO_OPERATION, CellArchitecture, CellSpace, sample_cell_architecture
from autoseg.architecture.cell import num_edges_before
from autoseg.architecture.membership import require_cells_of_space
from autoseg.cost import count_macs, count_module_macs
from autoseg.networks import build_network
from autoseg.networks.weightless import weightless
from autoseg.ops import StemShape, build_darts_operation, cell_places
from autoseg.pricing.kept_edges import KeptEdges, node_edges


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class CellPrices:
    """Multiply-accumulates (MACs) of the networks that are retrained, for one image.

    A network costs the sum of `fixed` and of the operations that its two cells keep, each counted
    in all cells of its kind together.
    """

    space: CellSpace
    """The space that they belong to."""
    image_size: tuple[int, int]
    """Height and width of the image, in pixels."""
    fixed: int
    """All but the operations of cells, which all networks have."""
    normal: Tensor
    """An operation on an edge of the normal cell: int64, (num_edges, operations of an edge)."""
    reduction: Tensor
    """An operation on an edge of the reduction cell, likewise."""

    def cost(self, architecture: CellArchitecture) -> int:
        """Add up an architecture's MACs: exactly `count_macs` of its network.

        Raises:
            ValueError: If it is not one of the space, or has other than its `retrain_num_cells`.
        """
        require_cells_of_space(architecture, self.space, work="CellPrices.cost")
        space, total = self.space, self.fixed
        tables = {
            "normal": (self.normal, space.normal_operations),
            "reduction": (self.reduction, space.reduction_operations),
        }
        for name, (prices, operations) in tables.items():
            for node, edges in enumerate(architecture.cells[name]):
                for source, op in edges:
                    row = num_edges_before(node) + source
                    total += int(prices[row, operations[row].index(op)])
        return total

    def written(self, cost: int) -> str:
        """Write a cost with its unit."""
        return f"{cost:,} MACs"


def price_cells(
    space: CellSpace,
    *,
    image_size: tuple[int, int],
    num_classes: int,
    filter_multiplier: int,
    width: float = 1.0,
    in_channels: int = 3,
) -> CellPrices:
    """Count the MACs of every operation that a network of the space can have; see `price_space`."""
    normal, reduction = _price_operations(space, image_size, filter_multiplier)
    prices = CellPrices(
        space=space, image_size=image_size, fixed=0, normal=normal, reduction=reduction
    )
    example = sample_cell_architecture(space, torch.Generator().manual_seed(0))
    with weightless():  # takes no memory, and no random numbers
        network = build_network(
            example,
            num_classes=num_classes,
            filter_multiplier=filter_multiplier,
            width=width,
            in_channels=in_channels,
        )
    return replace(prices, fixed=count_macs(network, image_size).macs - prices.cost(example))


def _price_operations(
    space: CellSpace, image_size: tuple[int, int], filter_multiplier: int
) -> tuple[Tensor, Tensor]:
    """Return the tables of normal and reduction cell, each over all cells of its kind."""

    @cache
    def price(op: str, channels: int, stride: int, map_stride: int) -> int:
        """Price an operation that reads a map of the image at a stride."""
        if op == NO_OPERATION:
            return 0
        with weightless():
            module = build_darts_operation(op, channels, stride)
        size = (-(-side // map_stride) for side in image_size)  # halved and rounded up again
        return count_module_macs(module, (1, channels, *size))

    tables = tuple(
        torch.zeros(space.num_edges, len(operations[0]), dtype=torch.int64)
        for operations in (space.normal_operations, space.reduction_operations)
    )
    # What the stem gives to the first cell, (1, 1) here, is no operation's business.
    places = cell_places(
        space.retrain_num_cells,
        filter_multiplier,
        num_nodes=space.num_nodes,
        stem=StemShape(1, 1, halves=True),
    )
    reads_input = {edges[source] for edges in node_edges(space.num_nodes) for source in (0, 1)}
    cell_stride = space.strides[0]
    for place in places:
        operations = space.reduction_operations if place.is_reduction else space.normal_operations
        from_cell, from_node = place.edge_strides
        before, cell_stride = cell_stride, cell_stride * from_cell
        for row, names in enumerate(operations):
            for column, op in enumerate(names):
                tables[place.is_reduction][row, column] += (
                    price(op, place.channels, from_cell, before)
                    if row in reads_input
                    else price(op, place.channels, from_node, cell_stride)
                )
    return tables[0], tables[1]


class ExpectedCellMacs:
    """The expected MACs of cells that are drawn by both alphas, exactly: see `KeptEdges`.

    All of it is computed in float64 and on the device, without a look at a value.
    """

    def __init__(self, prices: CellPrices, *, device: torch.device) -> None:
        """Move the prices to the device of the alphas."""
        space = prices.space
        nodes = node_edges(space.num_nodes)
        self._fixed = float(prices.fixed)
        self._cells = []
        for table, operations in (
            (prices.normal, space.normal_operations),
            (prices.reduction, space.reduction_operations),
        ):
            is_candidate = [[op != NO_OPERATION for op in names] for names in operations]
            kept = KeptEdges(torch.tensor(is_candidate, device=device), nodes)
            self._cells.append((kept, table.to(device, torch.float64)))

    def __call__(self, normal: Tensor, reduction: Tensor) -> Tensor:
        """Return the expected MACs of one image, a float64 scalar.

        Args:
            normal: Logits of the normal cell's operations, (num_edges, operations of an edge).
            reduction: Those of the reduction cell.
        """
        macs = [
            (kept.chances(alpha.double()) * prices).sum()
            for alpha, (kept, prices) in zip((normal, reduction), self._cells, strict=True)
        ]
        return self._fixed + macs[0] + macs[1]
