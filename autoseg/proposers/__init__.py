"""What to try next: samplers over the architectures of a space, or any other finite set."""

from autoseg.proposers.architectures import ArchitectureDomain
from autoseg.proposers.cells import CellDomain
from autoseg.proposers.domain import Domain
from autoseg.proposers.optuna_samplers import NSGA2Sampler, TPESampler
from autoseg.proposers.predictor import LinearPredictor, PredictorSampler, shrunk
from autoseg.proposers.pruner import Course, Pruner, rungs_between
from autoseg.proposers.samplers import DomainSampler, EvolutionSampler, RandomSampler
from autoseg.proposers.shared_storage import SharedStorage
from autoseg.proposers.study import Study, Trial

__all__ = [
    "ArchitectureDomain",
    "CellDomain",
    "Course",
    "Domain",
    "DomainSampler",
    "EvolutionSampler",
    "LinearPredictor",
    "NSGA2Sampler",
    "PredictorSampler",
    "Pruner",
    "RandomSampler",
    "SharedStorage",
    "Study",
    "TPESampler",
    "Trial",
    "rungs_between",
    "shrunk",
]
