"""What a decoded architecture says of the search."""

from autoseg.architecture import OPERATIONS, Architecture
from autoseg.architecture.operations import SKIP


def skip_share(architecture: Architecture) -> float:
    """Share of skip connections among the cell's edges; near 1 the search has collapsed.

    Source: Zela et al. 2020, "Understanding and Robustifying DARTS", arXiv 1909.09656.
    """
    edges = [edge for node in architecture.cell for edge in node]
    return sum(OPERATIONS[edge.op].family == SKIP for edge in edges) / len(edges)
