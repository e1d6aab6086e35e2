"""The trellis of spatial resolutions: which node leads to which, generated from one rule.

Nodes are (layer, level); level 0 is the finest stride. Before layer 0 only level 0 exists (the
stem's output). From a node at level i before layer l, an edge leads to the nodes at level i - 1,
i and i + 1 of layer l, as far as those levels exist.

Source: Liu et al. 2019, "Auto-DeepLab", arXiv 1901.02985, section 3.2 and figure 1.
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

NUM_DIRECTIONS = 3
"""Edges that can leave a node: to the finer (0), the same (1) and the coarser (2) level."""


class TrellisEdge(NamedTuple):
    """An edge from the node at `source_level` before `layer` to the node at `target_level` of it.

    `beta[layer, source_level, direction]` is its weight.
    """

    layer: int
    source_level: int
    target_level: int

    @property
    def direction(self) -> int:
        """0: upsampling (finer stride), 1: same stride, 2: downsampling (coarser stride)."""
        return self.target_level - self.source_level + 1


STRIDES_RULE = "they start at 4, the stride of the stem, and double from level to level"
"""What `are_trellis_strides` demands, as error messages say it."""


def are_trellis_strides(strides: Sequence[int]) -> bool:
    """Tell whether these are the strides of a trellis' levels: 4, 8, 16 and so on."""
    return len(strides) >= 1 and list(strides) == [4 << level for level in range(len(strides))]


@cache
def trellis_edges(num_layers: int, num_levels: int) -> tuple[TrellisEdge, ...]:
    """List every live edge, ordered by layer, source level and target level.

    An edge is live if a path from the stem can take it; 105 are at 12 layers and 4 levels.
    """
    edges = []
    reachable = {0}
    for layer in range(num_layers):
        outgoing = [
            TrellisEdge(layer, source, target)
            for source in sorted(reachable)
            for target in (source - 1, source, source + 1)
            if 0 <= target < num_levels
        ]
        edges += outgoing
        reachable = {edge.target_level for edge in outgoing}
    return tuple(edges)


def num_trellis_paths(num_layers: int, num_levels: int) -> int:
    """Count the paths from the stem to any node of the last layer, by the transfer matrix."""
    paths_to = [1] + [0] * (num_levels - 1)
    for layer in range(num_layers):
        arriving = [0] * num_levels
        for edge in trellis_edges(num_layers, num_levels):
            if edge.layer == layer:
                arriving[edge.target_level] += paths_to[edge.source_level]
        paths_to = arriving
    return sum(paths_to)
