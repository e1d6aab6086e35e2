"""The supernet: all networks of a space at once, weighted by alpha and beta."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from autoseg.architecture import (
    ARCH_INIT_STD,
    Architecture,
    BetaNorm,
    Decoded,
    PathRule,
    SearchSpace,
    TrellisEdge,
    alpha_entropy,
    decode,
    decode_with_confidence,
    fold_gamma,
    live_betas,
    normalise_alpha,
    normalise_beta,
    normalise_gamma,
)
from autoseg.backends import BackendName, check_backend_name
from autoseg.ops import ASPP, Stem, resize, set_image_channels_
from autoseg.ops.image_channels import RGB_CHANNELS
from autoseg.supernet.backend import source_kernels
from autoseg.supernet.cell import CellOutput, SearchCell
from autoseg.supernet.fused_cell import SourceKernels
from autoseg.supernet.indices import index_on
from autoseg.supernet.recompute import recomputed
from autoseg.supernet.relaxed import RelaxedNetwork


class Supernet(RelaxedNetwork):
    """Continuous relaxation of a search space: stem, trellis of cells, one head a stride.

    The cell at layer l and stride s is evaluated for each cell of layer l - 1 at s / 2, s and 2s,
    together with the cell of layer l - 2 at s, and the results are summed with the weights beta
    (equation 5). Where there is no cell of layer l - 2 at s, its edges are absent; at layer 1 and
    stride 4 it is the stem.

    Source: Auto-DeepLab, arXiv 1901.02985, sections 4 and 5.1.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        num_classes: int,
        beta_norm: BetaNorm = "paper",
        path_rule: PathRule = "paper",
        backend: BackendName = "auto",
        recompute_cells: bool = False,
        in_channels: int = RGB_CHANNELS,
        partial_channels: int = 1,
        edge_normalisation: bool = False,
    ) -> None:
        """Build the supernet with random weights.

        Args:
            space: What may be chosen, and F.
            num_classes: K, the number of evaluated classes.
            beta_norm: Normalisation of beta; see `autoseg.architecture.normalise_beta`.
            path_rule: How `decode` chooses the path; see `autoseg.architecture.edge_scores`.
            backend: What evaluates the source operations; see `autoseg.backends`.
            recompute_cells: Keep only the cells' outputs (with a fused back end: only the nodes)
                for the backward pass and evaluate the rest again there: less memory, more time.
            in_channels: C, the number of the images' channels.
            partial_channels: One of so many channels of a state goes through the operations, the
                others past them: `autoseg.supernet.partial_channels`. It divides every node's.
            edge_normalisation: Weigh the edges that lead to a node of the cell by a softmax of
                gamma, `autoseg.architecture.edge_normalisation`; "none" is then an operation.

        Raises:
            UsageError: If there is no such back end.
        """
        super().__init__()
        self.space = space
        self.num_classes = num_classes
        self.beta_norm: BetaNorm = beta_norm
        self.path_rule: PathRule = path_rule
        check_backend_name(backend, work="Supernet")
        self.backend: BackendName = backend
        self.recompute_cells = recompute_cells
        self.alpha = nn.Parameter(
            ARCH_INIT_STD * torch.randn(space.num_edges, len(space.operations))
        )
        self.partial_channels = partial_channels
        # Zeros: the noise that margins are compared with stays that of alpha alone.
        self.gamma = nn.Parameter(torch.zeros(space.num_edges)) if edge_normalisation else None
        live = live_betas(space)
        self.beta = nn.Parameter(ARCH_INIT_STD * torch.randn(live.shape) * live)

        self.stem = Stem(space.stem_channels)
        set_image_channels_(self.stem, in_channels)
        self._layers = _layers(space)
        widths = {(-1, 0): space.stem_channels[-1]} | {
            (node.layer, node.level): space.num_nodes * space.num_channels(node.stride)
            for nodes in self._layers
            for node in nodes
        }
        self.cells = nn.ModuleDict(
            {
                node.name: SearchCell(
                    space.num_channels(node.stride),
                    num_nodes=space.num_nodes,
                    operations=space.operations,
                    previous_channels=[
                        (widths[node.layer - 1, edge.source_level], edge.source_level < node.level)
                        for edge in node.incoming
                    ],
                    previous_previous_channels=widths.get((node.layer - 2, node.level)),
                    partial_channels=partial_channels,
                )
                for nodes in self._layers
                for node in nodes
            }
        )
        self.heads = nn.ModuleDict(
            {
                f"stride{node.stride}": _Head(
                    widths[node.layer, node.level],
                    num_classes,
                    rate=max(1, space.head_rate_times_stride // node.stride),
                )
                for node in self._layers[-1]
            }
        )

    def arch_parameters(self) -> list[nn.Parameter]:
        """Return alpha, (num_edges, num_operations), beta, (num_layers, num_levels, 3), and, where
        edges are normalised, gamma, (num_edges,)."""
        return [self.alpha, self.beta, *([] if self.gamma is None else [self.gamma])]

    def mixed_logits(self) -> tuple[Tensor, Tensor]:
        """Return alpha and beta as `forward` takes them; a subclass may draw others."""
        return self.alpha, self.beta

    def decoded_logits(self) -> tuple[Tensor, Tensor]:
        """Return alpha, with gamma folded into it where edges are normalised, and beta."""
        if self.gamma is None:
            return self.alpha, self.beta
        return fold_gamma(self.space, self.alpha, self.gamma), self.beta

    def decode(self) -> Architecture:
        """Decode the best architecture under the present alpha and beta."""
        return decode(
            self.space,
            *self.decoded_logits(),
            beta_norm=self.beta_norm,
            path_rule=self.path_rule,
        )

    def decode_with_confidence(
        self, alpha: Tensor, beta: Tensor, *, history: Sequence[tuple[Tensor, Tensor]]
    ) -> Decoded:
        """Decode these alpha and beta by the supernet's rules, and say how sure the result is."""
        decoded = decode_with_confidence(
            self.space,
            alpha,
            beta,
            beta_norm=self.beta_norm,
            path_rule=self.path_rule,
            history=history,
        )
        if self.gamma is None:
            return decoded
        # Folded, "none" has the weight of all other edges: alpha would look decided from the start.
        return replace(decoded, alpha_entropy=alpha_entropy(self.alpha))

    def forward(self, images: Tensor) -> Tensor:
        """Predict under the weights that alpha and beta give.

        Args:
            images: Normalised images, (N, 3, H, W), any H and W.

        Returns:
            Logits, (N, K, H, W).
        """
        alpha, beta = self.mixed_logits()
        alpha, beta = normalise_alpha(alpha), normalise_beta(self.space, beta, rule=self.beta_norm)
        if self.gamma is not None:
            alpha = alpha * normalise_gamma(self.space, self.gamma).unsqueeze(1)
        return self.forward_weighted(images, alpha, beta)

    def forward_weighted(self, images: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
        """Predict under given weights, for example one-hot ones.

        Args:
            images: Normalised images, (N, 3, H, W).
            alpha: Weight of each operation on each edge, (num_edges, num_operations).
            beta: Weight of each trellis edge, (num_layers, num_levels, 3).

        Returns:
            Logits, (N, K, H, W): the heads' logits, each resized to the images, summed.
        """
        features = self.features(images, alpha, beta)
        # One head after the other: the logits of all strides at the images' size would be the peak
        # of the step's memory. align_corners=False is DeepLab v3's convention for its head; cells
        # follow Auto-DeepLab's.
        logits: Tensor | None = None
        for name, head in self.heads.items():
            resized = resize(head(features[name]), images.shape[2:], align_corners=False)
            logits = resized if logits is None else logits + resized
        assert logits is not None
        return logits

    def features(self, images: Tensor, alpha: Tensor, beta: Tensor) -> dict[str, Tensor]:
        """Return the last layer's output at each stride ("stride4", ...), under given weights."""
        kernels = source_kernels(self.backend, images.device.type)
        alpha = alpha.index_select(0, index_on(alpha.device, self._edge_order()))
        # One gather for all cells, not one each.
        betas = iter(
            beta.flatten()
            .index_select(0, index_on(beta.device, self._beta_order()))
            .split([len(node.incoming) for nodes in self._layers for node in nodes])
        )
        _, stem = self.stem(images)
        sizes = grid_sizes(stem.shape[2:], self.space.num_levels)
        recompute = self._recomputes()
        two_before: dict[int, CellOutput] = {}
        before = {0: CellOutput.from_features(stem, recompute=recompute)}
        for nodes in self._layers:
            current = {}
            for node in nodes:
                output = self._run_cell(
                    self.cells[node.name],
                    [before[edge.source_level] for edge in node.incoming],
                    two_before.get(node.level),
                    alpha,
                    next(betas),
                    sizes[node.level],
                    kernels=kernels,
                )
                current[node.level] = CellOutput.from_features(output, recompute=recompute)
            two_before, before = before, current
        return {f"stride{node.stride}": before[node.level].features for node in self._layers[-1]}

    def _recomputes(self) -> bool:
        return self.recompute_cells and torch.is_grad_enabled()

    def _run_cell(
        self, cell: nn.Module, *arguments: object, kernels: SourceKernels | None
    ) -> Tensor:
        recompute = self._recomputes()
        if recompute and (kernels is None or not cell.is_whole):
            # A registered operation may draw random numbers, as dropout does.
            return recomputed(cell, *arguments, kernels, is_random=bool(cell.is_per_edge))
        # A fused back end evaluates again what lies between the nodes, and nothing more.
        return cell(*arguments, kernels, recompute=recompute)

    def _beta_order(self) -> list[int]:
        """Number the trellis edges in flattened beta, cell by cell."""
        _, num_levels, num_directions = self.beta.shape
        return [
            (edge.layer * num_levels + edge.source_level) * num_directions + edge.direction
            for nodes in self._layers
            for node in nodes
            for edge in node.incoming
        ]

    def _edge_order(self) -> list[int]:
        """Number the edges by the state that they leave, then by the node that they lead to."""
        space = self.space
        return [
            space.edge_index(source, node)
            for source in range(space.num_nodes + 1)
            for node in range(space.num_nodes)
            if source in space.predecessors(node)
        ]


def grid_sizes(finest: Sequence[int], num_levels: int) -> list[tuple[int, int]]:
    """Return height and width at each stride: halved and rounded up from the finest on."""
    height, width = finest
    sizes = [(height, width)]
    for _ in range(num_levels - 1):
        height, width = (height + 1) // 2, (width + 1) // 2
        sizes.append((height, width))
    return sizes


class _Node(NamedTuple):
    """A node of the trellis with the edges that lead to it."""

    layer: int
    level: int
    stride: int
    incoming: tuple[TrellisEdge, ...]

    @property
    def name(self) -> str:
        return f"layer{self.layer}_stride{self.stride}"


def _layers(space: SearchSpace) -> list[list[_Node]]:
    """Group the trellis by layer and level, finest level first."""
    layers = []
    for layer in range(space.num_layers):
        nodes = []
        for level, stride in enumerate(space.strides):
            incoming = tuple(
                edge
                for edge in space.trellis()
                if (edge.layer, edge.target_level) == (layer, level)
            )
            if incoming:
                nodes.append(_Node(layer, level, stride, incoming))
        layers.append(nodes)
    return layers


class _Head(nn.Sequential):
    """ASPP with one atrous rate, then a 1x1 classifier with bias (section 5.1)."""

    def __init__(self, channels: int, num_classes: int, *, rate: int) -> None:
        super().__init__(
            ASPP(channels, channels, rates=[rate]), nn.Conv2d(channels, num_classes, 1)
        )
