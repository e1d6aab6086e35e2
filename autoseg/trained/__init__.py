"""What searches and retrainings leave in their run folders, as values that are opened once."""

from autoseg.trained.choice import DRAWN, REFERENCES, SEARCHED, NetworkChoice
from autoseg.trained.description import ModelDescription
from autoseg.trained.model import Prediction, SegmentationModel, load
from autoseg.trained.model_file import ModelFile, save_model_file
from autoseg.trained.retrained import RetrainedNetwork
from autoseg.trained.search import ARCHITECTURE_NAME, SearchRun, search_that_found
from autoseg.trained.starting_weights import StartingWeights, starting_weights

__all__ = [
    "ARCHITECTURE_NAME",
    "DRAWN",
    "REFERENCES",
    "SEARCHED",
    "ModelDescription",
    "ModelFile",
    "NetworkChoice",
    "Prediction",
    "RetrainedNetwork",
    "SearchRun",
    "SegmentationModel",
    "StartingWeights",
    "load",
    "save_model_file",
    "search_that_found",
    "starting_weights",
]
