"""Search strategies by name."""

from autoseg.strategies.darts_search import DartsSearch
from autoseg.strategies.dirichlet import DirichletSearch
from autoseg.strategies.discrete_strategies import (
    EvolutionSearch,
    PredictorSearch,
    RandomSearch,
    TPESearch,
)
from autoseg.strategies.gumbel import GumbelSearch
from autoseg.strategies.nsga2_search import NSGA2Search
from autoseg.strategies.partial import PartialSearch
from autoseg.strategies.robust import RobustSearch
from autoseg.strategies.second_order import SecondOrderSearch
from autoseg.strategies.strategy import Strategy

STRATEGIES: dict[str, type[Strategy]] = {
    "darts": DartsSearch,
    "darts2": SecondOrderSearch,
    "gumbel": GumbelSearch,
    "robust": RobustSearch,
    "pc": PartialSearch,
    "drnas": DirichletSearch,
    "random": RandomSearch,
    "evolution": EvolutionSearch,
    "tpe": TPESearch,
    "predictor": PredictorSearch,
    "nsga2": NSGA2Search,
}
"""The strategies that `--strategy` knows."""

SHAREABLE = frozenset({"darts"})
"""Those whose batches several processes can share (torchrun)."""
