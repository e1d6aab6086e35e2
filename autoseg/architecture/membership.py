"""Whether an architecture is one of a space."""

from autoseg.architecture.architecture import Architecture
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
