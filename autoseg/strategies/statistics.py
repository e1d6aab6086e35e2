"""What a decoded architecture says of the search."""

from autoseg.architecture import AnyArchitecture, cell_operations
from autoseg.architecture.operations import SKIP, Operation


def skip_share(architecture: AnyArchitecture) -> float:
    """Share of skip connections among the edges of all cells; near 1 the search has collapsed.

    Source: Zela et al. 2020, "Understanding and Robustifying DARTS", arXiv 1909.09656.
    """
    kept = _kept(architecture)
    return sum(operation.family == SKIP for operation in kept) / len(kept)


def collapse(architecture: AnyArchitecture) -> str | None:
    """Say that no cell keeps a convolution or an operation of the user's; None if one does.

    Source: Zela et al. 2020, "Understanding and Robustifying DARTS", arXiv 1909.09656: searches by
    alpha end at operations without parameters, whose networks are poor.
    """
    kept = _kept(architecture)
    if any(_may_learn(each) for each in kept):
        return None
    names = ", ".join(sorted({each.name for each in kept}))
    return (
        f"The search has collapsed: all that the cell keeps is {names}, and none of it is a "
        "convolution (Zela et al. 2020, arXiv 1909.09656). Search with another seed or strategy "
        "before you retrain it."
    )


def _may_learn(operation: Operation) -> bool:
    """Tell whether it convolves, or is registered and so may do anything."""
    if operation.family is None:  # a registered one, or noise, which nothing builds for a user
        return operation.build is not None
    return operation.family.kind in ("separable", "full")


def _kept(architecture: AnyArchitecture) -> list[Operation]:
    operations = cell_operations()
    return [
        operations[edge.op]
        for cell in architecture.cells.values()
        for node in cell
        for edge in node
    ]
