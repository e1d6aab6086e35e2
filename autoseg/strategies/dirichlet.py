"""Search by weights that are drawn from Dirichlet distributions."""

from typing import ClassVar

from autoseg.strategies.darts import Darts
from autoseg.strategies.darts_search import DartsSearch
from autoseg.strategies.space_kinds import AnySupernet, build_supernet
from autoseg.supernet import DirichletCellSupernet, DirichletSupernet


class DirichletDarts(Darts):
    """Moves weights, alpha and beta by the loss under samples: each half-step draws its own.

    The gradient of alpha and beta goes through the samples (pathwise derivatives), so that on
    average it is that of the expected loss.
    """

    unread: ClassVar[frozenset[str]] = frozenset({"cuda_graph"})


class DirichletSearch(DartsSearch):
    """A search by DARTS whose softmaxes of alpha and beta are samples of Dirichlet distributions.

    - The weights of an edge's operations are a sample of Dir(elu(alpha) + 1), those of the edges
      that leave a node of the trellis one of Dir(elu(beta) + 1): `autoseg.supernet.dirichlet`.
    - The distance to the anchor, concentrations of 1, is the weight decay of alpha and beta: at 0
      the concentration is 1, and all weights are equally likely.
    - What is decoded is the mean: concentrations divided by their sum.

    Source: Chen et al. 2021, "DrNAS: Dirichlet Neural Architecture Search", arXiv 2006.10355.
    """

    rule = DirichletDarts
    unread = frozenset({"selection"})

    def build_supernet(self) -> AnySupernet:
        """Build the supernet with random weights."""
        return build_supernet(
            self.task,
            recompute_cells=self.task.config.recompute_cells,
            trellis_type=DirichletSupernet,
            cells_type=DirichletCellSupernet,
        )
