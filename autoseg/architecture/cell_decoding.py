"""From the relaxed cells to two discrete ones, and cells drawn at random.

Source: DARTS, arXiv 1806.09055, section 2.4.
"""

import torch
from torch import Tensor

from autoseg.architecture.cell_architecture import CellArchitecture
from autoseg.architecture.cell_space import CellSpace
from autoseg.architecture.decoding import kept_edges
from autoseg.architecture.sampling import random_cell


def decode_cells(space: CellSpace, normal: Tensor, reduction: Tensor) -> CellArchitecture:
    """Decode the most likely cells.

    Args:
        space: The space that was searched.
        normal: Logits of the normal cell's operations, (num_edges, operations of an edge).
        reduction: Those of the reduction cell.

    Raises:
        ValueError: If a shape is not the space's, or a value is not finite.
    """
    return CellArchitecture(
        space=space.name,
        num_cells=space.retrain_num_cells,
        normal=kept_edges(normal, space.normal_operations, name="normal alpha"),
        reduction=kept_edges(reduction, space.reduction_operations, name="reduction alpha"),
    )


def sample_cell_architecture(space: CellSpace, generator: torch.Generator) -> CellArchitecture:
    """Draw one of the space's architectures.

    Each node gets two different sources, every pair as likely as any other, and each edge one of
    its operations other than "none", each as likely as any other.

    Args:
        space: What may be chosen.
        generator: On the CPU; decides everything.
    """
    return CellArchitecture(
        space=space.name,
        num_cells=space.retrain_num_cells,
        normal=random_cell(space.normal_operations, space.num_nodes, generator),
        reduction=random_cell(space.reduction_operations, space.num_nodes, generator),
    )
