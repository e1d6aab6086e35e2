"""What a decoded architecture says of the search."""

from autoseg.architecture import AnyArchitecture, cell_operations
from autoseg.architecture.operations import SKIP


def skip_share(architecture: AnyArchitecture) -> float:
    """Share of skip connections among the edges of all cells; near 1 the search has collapsed.

    Source: Zela et al. 2020, "Understanding and Robustifying DARTS", arXiv 1909.09656.
    """
    edges = [edge for cell in architecture.cells.values() for node in cell for edge in node]
    operations = cell_operations()
    return sum(operations[edge.op].family == SKIP for edge in edges) / len(edges)
