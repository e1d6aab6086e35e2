"""The operations of cell spaces: those of the table, and RobustDARTS' noise."""

from autoseg.architecture.operations import NO_OPERATION, OPERATIONS, Operation

NOISE = Operation(
    name="noise",
    label="noise",
    description="values from N(0, 1), whatever the state holds (RobustDARTS, space S4)",
)


def cell_operations() -> dict[str, Operation]:
    """Return every operation that a cell space may list, by name; "none" too."""
    return {**OPERATIONS, NOISE.name: NOISE}


def connecting_operations() -> list[str]:
    """List the operations that an edge of a cell architecture may have: all but "none"."""
    return [name for name in cell_operations() if name != NO_OPERATION]
