"""One operation an edge of a cell space's supernet, and one architecture, on its own weights."""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import cast

import torch
from torch import Tensor, nn

from autoseg.architecture import NO_OPERATION, CellArchitecture, CellEdge
from autoseg.architecture.cell import num_edges_before
from autoseg.architecture.membership import require_cells_of_space
from autoseg.supernet.cell_supernet import CellSupernet, MixedCell


class WeightedCells(nn.Module):
    """The supernet's stack of cells, in which only the named edges' one operation is evaluated.

    An edge with the operation "none" gives nothing, and a node without any input is 0.
    """

    def __init__(
        self,
        supernet: CellSupernet,
        *,
        cells: Mapping[str, Sequence[Sequence[CellEdge]]],
        edge_weights: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Choose what is evaluated.

        Args:
            supernet: Holds the weights; shared, not copied.
            cells: For each node of the "normal" and the "reduction" cell the edges that lead to
                it, each with its operation.
            edge_weights: Factor of each edge's operation, (num_edges,) for either cell; None for 1.
        """
        super().__init__()
        self.supernet = supernet
        self.kept = cells
        self.edge_weights = edge_weights

    def forward(self, images: Tensor) -> Tensor:
        """Map images, normalised, (N, 3, H, W), to logits, (N, K, H, W)."""
        outputs = list(self.supernet.stem(images))
        for cell in self.supernet.cells:
            outputs.append(self._run_cell(cast(MixedCell, cell), *outputs[-2:]))
        return self.supernet.predict(outputs[2:], images)

    def _run_cell(self, cell: MixedCell, previous_previous: Tensor, previous: Tensor) -> Tensor:
        """Evaluate the kept edges: (N, num_nodes * C, H, W)."""
        name = "reduction" if cell.is_reduction else "normal"
        states = cell.inputs(previous_previous, previous)
        stride = 2 if cell.is_reduction else 1
        nothing = torch.zeros_like(states[1][:, :, ::stride, ::stride])
        for node, edges in enumerate(self.kept[name]):
            contributions = [nothing]
            for source, op in edges:
                if op == NO_OPERATION:
                    continue
                maps = cell.operation(source, node, op)(states[source])
                if self.edge_weights is not None:
                    maps = maps * self.edge_weights[name][num_edges_before(node) + source]
                contributions.append(maps)
            states.append(reduce(torch.add, contributions[1:] or contributions))
        return torch.cat(states[2:], dim=1)


class SingleCells(WeightedCells):
    """The supernet with one-hot alphas, of which only the architecture is evaluated.

    Source: Guo et al. 2019, "Single Path One-Shot Neural Architecture Search with Uniform
    Sampling", arXiv 1904.00420.
    """

    def __init__(self, supernet: CellSupernet, architecture: CellArchitecture) -> None:
        """Choose the architecture; the stack is as long as the supernet's.

        Args:
            supernet: Holds the weights; shared, not copied.
            architecture: One of the supernet's space.

        Raises:
            ValueError: If the architecture is not one of the space.
        """
        require_cells_of_space(architecture, supernet.space, work="SingleCells")
        super().__init__(supernet, cells=architecture.cells)
