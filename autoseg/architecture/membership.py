"""Whether an architecture is one of a space."""

from autoseg.architecture.architecture import Architecture
from autoseg.architecture.cell import num_edges_before
from autoseg.architecture.cell_architecture import CellArchitecture
from autoseg.architecture.cell_space import CellSpace
from autoseg.architecture.space import SearchSpace


def require_of_space(architecture: Architecture, space: SearchSpace, *, work: str) -> None:
    """Refuse an architecture that is not one of a space.

    Args:
        architecture: Any.
        space: What holds its weights.
        work: Who asks, for the message.

    Raises:
        ValueError: With what differs.
    """
    sizes = (architecture.strides, architecture.num_layers, architecture.num_nodes)
    space_sizes = (space.strides, space.num_layers, space.num_nodes)
    if sizes != space_sizes:
        raise ValueError(
            f"{work}: (strides, layers, nodes) of the architecture are {sizes}, those of the "
            f"supernet's space {space_sizes}."
        )
    for node, edges in enumerate(architecture.cell):
        for edge in edges:
            if edge.op not in space.operations:
                raise ValueError(
                    f"{work}: cell[{node}] has operation {edge.op!r}, but the supernet's space has "
                    f"{', '.join(space.operations)}."
                )


def require_cells_of_space(architecture: CellArchitecture, space: CellSpace, *, work: str) -> None:
    """Refuse cells that are not ones of a space; how many are stacked is free.

    Args:
        architecture: Any.
        space: What holds their weights or prices.
        work: Who asks, for the message.

    Raises:
        ValueError: With what differs.
    """
    if architecture.num_nodes != space.num_nodes:
        raise ValueError(
            f"{work}: cells of the architecture have {architecture.num_nodes} nodes, those of the "
            f"space {space.num_nodes}."
        )
    operations = {"normal": space.normal_operations, "reduction": space.reduction_operations}
    for name, cell in architecture.cells.items():
        for node, edges in enumerate(cell):
            for source, op in edges:
                names = operations[name][num_edges_before(node) + source]
                if op not in names:
                    raise ValueError(
                        f"{work}: {name}[{node}] has operation {op!r} on the edge from {source}, "
                        f"where the space has {', '.join(names)}."
                    )
