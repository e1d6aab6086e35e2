"""What searches and retrainings leave in their run folders, as values that are opened once."""

from autoseg.trained.choice import REFERENCES, SEARCHED, NetworkChoice
from autoseg.trained.retrained import RetrainedNetwork
from autoseg.trained.search import ARCHITECTURE_NAME, SearchRun
from autoseg.trained.starting_weights import StartingWeights, starting_weights

__all__ = [
    "ARCHITECTURE_NAME",
    "REFERENCES",
    "SEARCHED",
    "NetworkChoice",
    "RetrainedNetwork",
    "SearchRun",
    "StartingWeights",
    "starting_weights",
]
