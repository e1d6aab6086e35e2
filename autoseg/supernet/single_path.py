"""One path of a supernet, and one architecture, on the supernet's own weights."""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoseg.architecture import NO_OPERATION, OPERATIONS, Architecture, CellEdge, Operation
from autoseg.architecture.membership import require_of_space
from autoseg.architecture.operations import SKIP
from autoseg.ops import resize
from autoseg.supernet.batch_norm import batch_norm
from autoseg.supernet.cell import CellOutput, InputCell, SearchCell
from autoseg.supernet.depthwise import depthwise_conv2d
from autoseg.supernet.source_op import SourceOp, pool
from autoseg.supernet.supernet import Supernet, grid_sizes


class WeightedPath(nn.Module):
    """One path through the trellis, on whose edges one operation each is evaluated.

    State 0 of a cell, the cell two layers before at the same stride, is there only where the path
    was at that stride two layers before; elsewhere its edges give nothing, as they do in the
    supernet. So do edges with the operation "none". The heads of other strides, which in a one-hot
    supernet add a constant map to the logits, are left out.

    Source: Auto-DeepLab, arXiv 1901.02985, equation 5.
    """

    def __init__(
        self,
        supernet: Supernet,
        *,
        cell: Sequence[Sequence[CellEdge]],
        path: Sequence[int],
        edge_weights: Tensor | None = None,
    ) -> None:
        """Choose what is evaluated.

        Args:
            supernet: Holds the weights; shared, not copied.
            cell: For each node the edges that lead to it, each with its operation.
            path: Stride of each layer.
            edge_weights: Factor of each edge's operation, (num_edges,) in the order of alpha; None
                for 1.

        Raises:
            ValueError: If the supernet's operations see a part of the channels alone.
        """
        super().__init__()
        if supernet.partial_channels > 1:
            raise ValueError(
                f"the supernet has partial_channels = {supernet.partial_channels}: a single path "
                "evaluates operations of whole states; build the supernet with partial_channels=1."
            )
        self.supernet = supernet
        self.cell = cell
        self.path = path
        self.edge_weights = edge_weights

    def forward(self, images: Tensor) -> Tensor:
        """Predict classes.

        Args:
            images: Normalised images, (N, 3, H, W), any H and W.

        Returns:
            Logits, (N, K, H, W).
        """
        features = self.features(images)
        head = self.supernet.heads[f"stride{self.path[-1]}"]
        return resize(head(features), images.shape[2:], align_corners=False)

    def features(self, images: Tensor) -> Tensor:
        """Return the last cell's output, (N, C, H_s, W_s) at the last stride s."""
        space = self.supernet.space
        _, stem = self.supernet.stem(images)
        sizes = grid_sizes(stem.shape[2:], space.num_levels)
        levels = [0, *map(space.strides.index, self.path)]
        outputs = [stem]
        for layer, (before, level) in enumerate(pairwise(levels)):
            cell = self.supernet.cells[f"layer{layer}_stride{space.strides[level]}"]
            sources = [
                edge.source_level
                for edge in space.trellis()
                if (edge.layer, edge.target_level) == (layer, level)
            ]
            is_visited = layer >= 1 and levels[layer - 1] == level
            outputs.append(
                self._run_cell(
                    cast(SearchCell, cell),
                    sources.index(before),
                    outputs[-1],
                    outputs[-2] if is_visited else None,
                    sizes[level],
                )
            )
        return outputs[-1]

    def _run_cell(
        self,
        cell: SearchCell,
        number: int,
        previous: Tensor,
        previous_previous: Tensor | None,
        size: tuple[int, int],
    ) -> Tensor:
        """Evaluate the kept edges for input cell `number`: (N, num_nodes * C, *size)."""
        bring = cast(InputCell, cell.previous[number])
        states = {1: bring(CellOutput(previous, None), size)}
        if previous_previous is not None:
            assert cell.previous_previous is not None
            states[0] = cell.previous_previous(CellOutput(previous_previous, None), size)
        senders: dict[int, _Sender] = {}
        for node, edges in enumerate(self.cell):
            contributions = []
            for edge in edges:
                if edge.source not in states or edge.op == NO_OPERATION:
                    continue
                if edge.source not in senders:
                    senders[edge.source] = _Sender(cell, edge.source, number, states[edge.source])
                maps = senders[edge.source].send(edge.op, node)
                if self.edge_weights is not None:
                    row = self.supernet.space.edge_index(edge.source, node)
                    maps = maps * self.edge_weights[row]
                contributions.append(maps)
            states[2 + node] = (
                torch.stack(contributions).sum(dim=0)
                if contributions
                else torch.zeros_like(states[1])
            )
        return torch.cat([states[2 + node] for node in range(cell.num_nodes)], dim=1)


class SinglePath(WeightedPath):
    """The supernet with one-hot alpha and beta, of which only the architecture is evaluated.

    Each layer's cell at the path's stride, of it the two edges of each node, of each edge one
    operation, and the head of the last stride.

    The weights are the supernet's, so that training this trains that. A flat weight gets zeros as
    the gradient of its operations that were not evaluated, and weights that took no part at all get
    no gradient.

    Source: Guo et al. 2019, "Single Path One-Shot Neural Architecture Search with Uniform
    Sampling", arXiv 1904.00420.
    """

    def __init__(self, supernet: Supernet, architecture: Architecture) -> None:
        """Choose the architecture.

        Args:
            supernet: Holds the weights; shared, not copied.
            architecture: One of the supernet's space.

        Raises:
            ValueError: If the architecture is not one of the space.
        """
        require_of_space(architecture, supernet.space, work="SinglePath")
        super().__init__(supernet, cell=architecture.cell, path=architecture.path)


class _Sender:
    """One state of a cell and the weights of the edges that leave it."""

    def __init__(self, cell: SearchCell, source: int, number: int, state: Tensor) -> None:
        """Cut the weights into blocks.

        Args:
            cell: The cell.
            source: Number of the state: 0 and 1 the input cells, 2 and on the nodes.
            number: Index of the input cell for which the state was computed.
            state: (N, C, H, W).
        """
        module = cell.source0 if source == 0 else cell.sources[source - 1]
        self.op = cast(SourceOp, module)
        self.input_cell = 0 if source == 0 else number
        # State 2 + b is read by the nodes after b.
        self.first_target = max(0, source - 1)
        self.state = state
        self.weights = self.op.weight_blocks()
        # Maps that do not depend on the target: their statistics must not be counted twice.
        self._shared: dict[str, Tensor] = {SKIP.name: state}

    def send(self, op: str, node: int) -> Tensor:
        """Evaluate one operation of the edge to a node: (N, C, H, W)."""
        target, operation = node - self.first_target, OPERATIONS[op]
        if operation.build is not None:
            assert self.op.per_edge is not None
            return self.op.per_edge.evaluate(op, self.state, self.input_cell, target)
        family = operation.family
        assert family is not None
        if not family.stages:
            if op not in self._shared:
                self._shared[op] = self._norm(pool(self.state, operation), op)
            return self._shared[op]
        maps = self.state
        for stage in family.stages:
            convolve = self._separable if family.kind == "separable" else self._full
            maps = convolve(maps.relu(), operation, stage, target)
        return maps

    def _full(self, activated: Tensor, operation: Operation, stage: str, target: int) -> Tensor:
        name = f"{stage}{operation.kernel_size}"
        maps = F.conv2d(
            activated,
            self.weights[name][target],
            padding=operation.rate * (operation.kernel_size - 1) // 2,
            dilation=operation.rate,
        )
        return self._norm(maps, name, target)

    def _separable(
        self, activated: Tensor, operation: Operation, stage: str, target: int
    ) -> Tensor:
        maps = depthwise_conv2d(
            activated,
            self.weights[f"{stage}.depthwise{operation.kernel_size}"][target].unsqueeze(1),
            padding=operation.rate * (operation.kernel_size - 1) // 2,
            dilation=operation.rate,
            groups=activated.shape[1],
        )
        number = self.op.layout.number(operation.name)
        pointwise = self.weights[f"{stage}.pointwise"][number, target]
        maps = F.conv2d(maps, pointwise[:, :, None, None])
        return self._norm(maps, stage, number, target)

    def _norm(self, maps: Tensor, name: str, *index: int) -> Tensor:
        block, statistics = self.op.layout.features[name], self.op.statistics
        entry = (self.input_cell, *index)
        return batch_norm(
            maps,
            block.view(statistics.mean)[entry],
            block.view(statistics.var)[entry],
            training=self.op.training,
            momentum=statistics.momentum,
        )
