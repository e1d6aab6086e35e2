"""The supernet edge by edge, as the paper writes it: slow, obvious, and what fast paths must equal.

Every cell is evaluated again for each input cell, every edge by itself, every operation by its own
call, "none" included. Nothing here is shared with the rest of the supernet but the parameters,
which are read from their stacked form, and the modules of registered operations. Running
statistics are read and never written.
"""

from collections.abc import Callable, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from autoseg.architecture import SearchSpace
from autoseg.supernet.batch_norm import EPS, frozen_statistics
from autoseg.supernet.cell import InputCell, SearchCell
from autoseg.supernet.source_op import SourceOp
from autoseg.supernet.supernet import Supernet

BetaOf = Callable[[int, int, int], Tensor]
"""Weight of the trellis edge (layer, level that it leaves, direction), as in beta."""


def reference_logits(net: Supernet, images: Tensor, *, training: bool) -> Tensor:
    """Predict from alpha, beta and gamma under the papers' normalisations.

    Args:
        net: The parameters; stem and heads are its own modules.
        images: Normalised images, (N, 3, H, W).
        training: Whether cells normalise by the statistics of the batch.

    Returns:
        Logits, (N, K, H, W).
    """

    def beta_of(layer: int, level: int, direction: int) -> Tensor:
        return _outgoing_softmax(net.beta, layer, level, net.space.num_levels)[direction]

    features = reference_features(
        net,
        images,
        alpha_weights=torch.softmax(net.alpha, dim=1),
        edge_weights=None if net.gamma is None else _incoming_softmax(net.gamma),
        beta_of=beta_of,
        training=training,
    )
    logits = [
        F.interpolate(head(features[name]), images.shape[2:], mode="bilinear", align_corners=False)
        for name, head in net.heads.items()
    ]
    return torch.stack(logits).sum(dim=0)


def reference_features(
    net: Supernet,
    images: Tensor,
    *,
    alpha_weights: Tensor,
    beta_of: BetaOf,
    training: bool,
    edge_weights: Sequence[Tensor] | None = None,
) -> dict[str, Tensor]:
    """Evaluate the trellis, equation 5.

    Args:
        net: The parameters.
        images: Normalised images, (N, 3, H, W).
        alpha_weights: Weight of each operation on each edge, (num_edges, num_operations).
        beta_of: Weight of each trellis edge.
        training: Whether cells normalise by the statistics of the batch.
        edge_weights: Weight of each edge, (num_edges,); None for 1.

    Returns:
        The last layer's outputs by stride ("stride4", ...).
    """
    space = net.space
    _, stem = net.stem(images)
    sizes = [tuple(stem.shape[2:])]
    for _ in range(space.num_levels - 1):
        sizes.append(tuple(-(-side // 2) for side in sizes[-1]))
    outputs: dict[tuple[int, int], Tensor] = {(-1, 0): stem}
    for layer in range(space.num_layers):
        for level, stride in enumerate(space.strides):
            weighted: list[Tensor] = []
            for source in (level - 1, level, level + 1):
                if (layer - 1, source) not in outputs:
                    continue
                out = _cell(
                    cast(SearchCell, net.cells[f"layer{layer}_stride{stride}"]),
                    len(weighted),
                    outputs[layer - 1, source],
                    outputs.get((layer - 2, level)),
                    alpha_weights,
                    edge_weights,
                    space,
                    sizes[level],
                    training,
                )
                weighted.append(beta_of(layer, source, level - source + 1) * out)
            if weighted:
                outputs[layer, level] = _added(weighted)
    last = space.num_layers - 1
    return {
        f"stride{stride}": outputs[last, level]
        for level, stride in enumerate(space.strides)
        if (last, level) in outputs
    }


def _cell(
    module: SearchCell,
    k: int,
    previous: Tensor,
    previous_previous: Tensor | None,
    alpha: Tensor,
    edge_weights: Sequence[Tensor] | None,
    space: SearchSpace,
    size: Sequence[int],
    training: bool,
) -> Tensor:
    """Cell(H_prev, H_prev_prev; alpha) for input cell number k: equations 1 to 3."""
    states = {1: _input_cell(module.previous[k], previous, size, training)}
    if previous_previous is not None:
        states[0] = _input_cell(module.previous_previous, previous_previous, size, training)
    row = 0
    for node in range(space.num_nodes):
        contributions: list[Tensor] = []
        for source in range(2 + node):
            weights = alpha[row]
            edge_weight = None if edge_weights is None else edge_weights[row]
            row += 1
            if source not in states:
                continue  # no cell two layers before at this stride
            stack = module.source0 if source == 0 else module.sources[source - 1]
            # Targets of a state are the nodes after it, so node n is target n - first.
            first = 0 if source < 2 else source - 1
            edge = _Edge(cast(SourceOp, stack), node - first, 0 if source == 0 else k, training)
            sent = _partial(edge, states[source], weights, space.operations, module)
            contributions.append(sent if edge_weight is None else edge_weight * sent)
        states[2 + node] = _added(contributions)
    return torch.cat([states[2 + node] for node in range(space.num_nodes)], dim=1)


def _partial(
    edge: "_Edge", maps: Tensor, weights: Tensor, names: Sequence[str], module: SearchCell
) -> Tensor:
    """Send the first channels through an edge, the others past it, and shuffle: PC-DARTS, eq. 2."""
    divisor = module.partial_channels
    width = maps.shape[1] // divisor
    joined = torch.cat([edge(maps[:, :width], weights, names), maps[:, width:]], dim=1)
    # Channel c of group g goes to place c * divisor + g.
    order = [group * width + channel for channel in range(width) for group in range(divisor)]
    return joined[:, order]


def _input_cell(
    module: torch.nn.Module | None, maps: Tensor, size: Sequence[int], training: bool
) -> Tensor:
    """Bring the output of another cell to this cell's stride and width."""
    assert isinstance(module, InputCell)
    if module.is_finer:
        maps = F.conv2d(maps.relu(), module.conv.weight, stride=2, padding=1)
    else:
        if maps.shape[2:] != torch.Size(size):
            maps = F.interpolate(maps, tuple(size), mode="bilinear", align_corners=True)
        maps = F.conv2d(maps.relu(), module.conv.weight)
    return batch_norm(maps, module.statistics.mean, module.statistics.var, training)


class _Edge:
    """One edge: its operations, each with the parameters of one target of a source operation."""

    def __init__(self, source: SourceOp, target: int, k: int, training: bool) -> None:
        self.source, self.layout = source, source.layout
        self.target, self.k, self.training = target, k, training

    def __call__(self, maps: Tensor, weights: Tensor, names: Sequence[str]) -> Tensor:
        """Equation 2: the sum over the operations, weighted by alpha."""
        return _added(
            [
                weight * self.operation(name, maps)
                for weight, name in zip(weights, names, strict=True)
            ]
        )

    def operation(self, name: str, maps: Tensor) -> Tensor:
        """Evaluate one operation on (N, C, H, W)."""
        if name == "none":
            return maps * 0
        if name == "skip_connect":
            return maps
        if name == "max_pool_3x3":
            return self._norm(F.max_pool2d(maps, 3, 1, 1), name, self.k)
        if name == "avg_pool_3x3":
            pooled = F.avg_pool2d(maps, 3, 1, 1, count_include_pad=False)
            return self._norm(pooled, name, self.k)
        if self.source.per_edge is not None and name in self.source.per_edge.names:
            with frozen_statistics(self.source.per_edge):
                return self.source.per_edge.evaluate(name, maps, self.k, self.target)
        family, size = name[: name.rindex("_")], int(name[-1])
        number = self.layout.number(name)
        if family == "sep_conv":
            maps = self._separable(maps, "sep1", size, number)
            return self._separable(maps, "sep2", size, number)
        if family == "dil_conv":
            return self._separable(maps, "dil", size, number, dilation=2)
        kernel = self._weight(f"atrous{size}")[self.target]
        maps = F.conv2d(maps.relu(), kernel, padding=size - 1, dilation=2)
        return self._norm(maps, f"atrous{size}", self.k, self.target)

    def _separable(
        self, maps: Tensor, stage: str, size: int, number: int, dilation: int = 1
    ) -> Tensor:
        kernel = self._weight(f"{stage}.depthwise{size}")[self.target]
        padding = dilation * (size - 1) // 2
        maps = F.conv2d(
            maps.relu(),
            kernel[:, None],
            padding=padding,
            dilation=dilation,
            groups=maps.shape[1],
        )
        pointwise = self._weight(f"{stage}.pointwise")[number, self.target]
        maps = F.conv2d(maps, pointwise[:, :, None, None])
        return self._norm(maps, stage, self.k, number, self.target)

    def _weight(self, name: str) -> Tensor:
        assert self.source.weight is not None
        return self.layout.weights[name].view(self.source.weight)

    def _norm(self, maps: Tensor, name: str, *index: int) -> Tensor:
        block, statistics = self.layout.features[name], self.source.statistics
        mean, variance = block.view(statistics.mean)[index], block.view(statistics.var)[index]
        return batch_norm(maps, mean, variance, self.training)


def batch_norm(maps: Tensor, running_mean: Tensor, running_var: Tensor, training: bool) -> Tensor:
    """Normalise the maps (N, C, H, W) of one edge by their own or by running statistics, (C,)."""
    if training:
        mean = maps.mean(dim=(0, 2, 3), keepdim=True)
        variance = maps.var(dim=(0, 2, 3), keepdim=True, unbiased=False)
    else:
        mean = running_mean[None, :, None, None]
        variance = running_var[None, :, None, None]
    return (maps - mean) / torch.sqrt(variance + EPS)


def _outgoing_softmax(beta: Tensor, layer: int, level: int, num_levels: int) -> dict[int, Tensor]:
    """Equation 6: softmax over the edges that leave one node, by direction."""
    directions = [k for k in (0, 1, 2) if 0 <= level + k - 1 < num_levels]
    weights = torch.softmax(torch.stack([beta[layer, level, k] for k in directions]), dim=0)
    return dict(zip(directions, weights, strict=True))


def _incoming_softmax(gamma: Tensor) -> list[Tensor]:
    """PC-DARTS, equation 4: softmax over the edges that lead to one node."""
    weights: list[Tensor] = []
    num_sources = 2
    while len(weights) < len(gamma):
        weights += torch.softmax(gamma[len(weights) : len(weights) + num_sources], dim=0)
        num_sources += 1
    return weights


def _added(terms: Sequence[Tensor]) -> Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
