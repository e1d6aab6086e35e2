"""Search strategies by name."""

from autoseg.strategies.darts_search import DartsSearch
from autoseg.strategies.random_search import RandomSearch
from autoseg.strategies.strategy import Strategy

STRATEGIES: dict[str, type[Strategy]] = {
    "darts": DartsSearch,
    "random": RandomSearch,
}
"""The strategies that `--strategy` knows."""
