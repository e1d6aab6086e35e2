"""Search by partial channels: less memory and time a step, and operations that compete fairly."""

from autoseg.architecture import NO_OPERATION, CellSpace
from autoseg.errors import UsageError
from autoseg.strategies.darts_search import DartsSearch
from autoseg.strategies.space_kinds import AnySupernet, build_supernet
from autoseg.strategies.strategy import SearchTask


class PartialSearch(DartsSearch):
    """A search by DARTS whose operations see a part of the channels, and whose edges compete.

    The paper's equations, in every cell of the trellis:

    - Equation 2: one of `--partial-channels` channels of each state goes through the mixed
      operation of an edge, the others past it: `autoseg.supernet.partial_channels`.
    - Equation 4: the edges that lead to a node are weighed by a softmax of their own logits, which
      are learned with alpha and beta, as gamma: `autoseg.architecture.edge_normalisation`.
    - Section 3.3: an edge is as strong as its weight times that of its best operation.

    Auto-DeepLab's beta, which weighs a node's incoming strides, is something else, and stays.

    Source: Xu et al. 2020, "PC-DARTS: Partial Channel Connections for Memory-Efficient Architecture
    Search", arXiv 1907.05737.
    """

    own = frozenset({"partial_channels", "edge_normalisation"})
    unread = frozenset({"selection"})

    def build_supernet(self) -> AnySupernet:
        """Build the supernet with random weights, and edges of equal weight."""
        config = self.task.config
        return build_supernet(
            self.task,
            recompute_cells=config.recompute_cells,
            partial_channels=config.partial_channels,
            edge_normalisation=config.edge_normalisation,
        )

    @classmethod
    def check(cls, task: SearchTask) -> None:
        """Refuse a cell space, parts that are no whole channels, and edges without "none"."""
        if isinstance(task.space, CellSpace):
            raise UsageError(
                f"--strategy pc does not search a cell space such as {task.space.name!r}; use "
                "--strategy darts, or take a space with a trellis (--space autodeeplab)."
            )
        super().check(task)
        space, divisor = task.space, task.config.partial_channels
        finest = space.num_channels(space.strides[0])
        if finest % divisor:
            fitting = [str(n) for n in range(1, finest + 1) if finest % n == 0]
            raise UsageError(
                f"partial_channels = {divisor}, but a node of stride {space.strides[0]} has "
                f"{finest} channels (filter_multiplier of the space), of which one in {divisor} is "
                f"not a whole number; use --partial-channels {' or '.join(fitting)}."
            )
        if task.config.edge_normalisation and NO_OPERATION not in space.operations:
            raise UsageError(
                f"edge_normalisation: what an edge's weight leaves of 1 is counted as "
                f"{NO_OPERATION!r}, which the space {space.name!r} does not have; add it to its "
                "operations, or use --no-edge-normalisation."
            )
